"""
Several workers of gunicorn, which end after a while and are replaced: nothing has to be configured for their metrics.

    gunicorn --config examples/gunicorn.conf.py
    curl localhost:8000/metrics     # any worker tells what all have done, those included that have ended
"""

chdir = __file__.rpartition("/")[0] or "."
wsgi_app = "flask_app:app"
workers = 4
max_requests = 1_000
max_requests_jitter = 100
