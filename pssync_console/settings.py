"""Django settings. The environment is read here and nowhere else; ``.env.example`` documents every variable.

``PSSYNC_ENV=embedded`` (default) needs nothing set: PostgreSQL, broker and keys come from ``PSSYNC_HOME``.
``PSSYNC_ENV=production`` refuses to start without its secrets and addresses, and serves over TLS only.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from celery.schedules import crontab
from cryptography.fernet import Fernet
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from pssync_console import environment as env
from pssync_console import logs, runtime
from pssync_console.runtime.home import home, persistent_secret

BASE_DIR = env.BASE_DIR
PSSYNC_ENV = env.choice("PSSYNC_ENV", "embedded", ("embedded", "production"))
PRODUCTION = PSSYNC_ENV == "production"
DEBUG = env.boolean("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured("DEBUG must not be on when PSSYNC_ENV is production.")

# ---- Secrets and addresses -----------------------------------------------------------------------------------------
if PRODUCTION:
    SECRET_KEY = env.text("SECRET_KEY")
    SECRETS_KEYS = env.words("SECRETS_KEYS")
    ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
    DATABASE_URL = env.text("DATABASE_URL")
    CELERY_BROKER_URL = env.text("CELERY_BROKER_URL")
else:
    SECRET_KEY = env.text("SECRET_KEY", "") or persistent_secret(
        "secret.key", lambda: secrets.token_urlsafe(64)
    )
    SECRETS_KEYS = env.words("SECRETS_KEYS", "") or [
        persistent_secret("secrets.key", lambda: Fernet.generate_key().decode())
    ]
    ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver")
    DATABASE_URL = env.text("DATABASE_URL", "") or runtime.database_url()
    CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "") or runtime.broker_url()
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", "")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", CELERY_BROKER_URL, production=PRODUCTION)
for _number, _key in enumerate(SECRETS_KEYS, start=1):
    try:
        Fernet(_key)
    except ValueError:
        raise ImproperlyConfigured(
            f"SECRETS_KEYS holds as key {_number} something that is not a Fernet key (32 bytes in URL-safe base64)."
        ) from None

# transaction: a pooler lends a server connection for one database transaction at a time (docs/production.md).
DATABASE_POOLING = env.choice("DATABASE_POOLING", "none", ("none", "transaction"))
DATABASES = {
    "default": env.database("DATABASE_URL", DATABASE_URL)
    | {
        "CONN_MAX_AGE": env.integer("DATABASE_CONN_MAX_AGE", 60),
        "CONN_HEALTH_CHECKS": True,
        # A cursor on the server outlives its database transaction; the next one may run on another server connection.
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_POOLING == "transaction",
    }
}
# Django's own statements are bound by the client; the engine's are prepared (apps.core.statements).
DATABASE_PREPARE = env.boolean("DATABASE_PREPARE", DATABASE_POOLING == "none")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Rate limits of log-in count across web processes, so the cache must be shared; PostgreSQL is already there.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "django_cache"}}

# ---- Applications --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "apps.core",
    "apps.journal",
    "apps.organization",
    "apps.records",
    "apps.approvals",
    "apps.connectors",
    "apps.governance",
    "apps.commercial",
    "apps.billing",
    "apps.sync",
    "apps.triage",
    "apps.api",
    "apps.console",
    "apps.demo",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "django_filters",
    "template_partials.apps.SimpleAppConfig",
    "pgtrigger",
    "pghistory",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_celery_beat",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "csp",
]

MIDDLEWARE = [
    "apps.core.middleware.CorrelationMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.DoorMiddleware",
    "apps.console.freshness.UnchangedMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.core.middleware.NoStoreMiddleware",
    "apps.core.middleware.AppErrorMiddleware",
]

# Where vendor systems bring their events.
DOORS = ("/hooks/",)
ROOT_URLCONF = "pssync_console.urls"
WSGI_APPLICATION = "pssync_console.wsgi.application"

_loaders = ["django.template.loaders.filesystem.Loader", "django.template.loaders.app_directories.Loader"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            # Named explicitly: template_partials would otherwise rewrite this setting while apps start.
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    _loaders if DEBUG else [("django.template.loaders.cached.Loader", _loaders)],
                )
            ],
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# ---- People --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "organization.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.organization.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email", "username"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
# People are entered by an administrator, who vouches for the address.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
# How many proxies in front of us write X-Forwarded-For; 0 takes the peer's address, which nobody can forge.
ALLAUTH_TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXY_COUNT", 0, maximum=10)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "PS Sync Console"
MFA_RECOVERY_CODES_SHOW_ONCE = True

# ---- Language, time, files -----------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles" if PRODUCTION else home() / "staticfiles"))
_manifest = "whitenoise.storage.CompressedManifestStaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": _manifest if PRODUCTION else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# The embedded default serves static files where they lie, so that a first start needs no collectstatic.
WHITENOISE_USE_FINDERS = not PRODUCTION
if not PRODUCTION:
    Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# ---- Security ------------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    name: [] for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = env.integer("SESSION_HOURS", 10, minimum=1, maximum=24 * 14) * 3600
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if PRODUCTION:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Browsers take a __Host- cookie from exactly this host over TLS only, so no sibling host can plant one.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = env.boolean("SSL_REDIRECT", True)
    # A load balancer asks for health inside the network, where there is no TLS.
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
    if env.boolean("TRUST_PROXY_TLS_HEADER", False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# ---- Interfaces ----------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.api.problems.exception_handler",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PS Sync Console",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
# Where this console is reached from outside (links in messages, CloudEvents sources).
PUBLIC_URL = env.address(
    "PUBLIC_URL", f"http://127.0.0.1:{env.integer('WEB_PORT', 8000, minimum=1, maximum=65535)}"
)

# ---- Celery: bells only, PostgreSQL knows the work -----------------------------------------------------------------
BROKER_QUEUE_TYPE = env.choice("BROKER_QUEUE_TYPE", "classic", ("classic", "quorum"))
if BROKER_QUEUE_TYPE == "quorum":
    if not CELERY_BROKER_URL.startswith("amqp"):
        raise ImproperlyConfigured(
            "BROKER_QUEUE_TYPE=quorum needs RabbitMQ: CELERY_BROKER_URL with amqp:// or amqps://."
        )
    CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"
    # A name of its own: RabbitMQ refuses to make a queue that exists into one of another type.
    CELERY_TASK_DEFAULT_QUEUE = "pssync.bells"
    # Celery delays tasks on such queues by bindings, which a direct exchange has no use for.
    CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "topic"
    # Whoever rings hears that no majority of the cluster has taken the bell, instead of ringing into the void.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Pumps stay for long: besides their seats there is one process for all other bells, or they would expire behind them.
CELERY_WORKER_CONCURRENCY = env.integer(
    "CELERY_WORKER_CONCURRENCY", env.integer("SYNC_PUMP_SLOTS", 2, minimum=1) + 1, minimum=2
)
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a broker may be away for days; the doors store all the same
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_BEAT_SCHEDULER = "pssync_console.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
# Every bell expires before many of them can pile up behind a stopped worker.
CELERY_BEAT_SCHEDULE = {
    "sync.ring": {"task": "sync.pump", "schedule": 1.0, "options": {"expires": 5}},
    "sync.sweep": {"task": "sync.sweep", "schedule": 10.0, "options": {"expires": 30}},
    "sync.poll": {"task": "sync.poll", "schedule": 5.0, "options": {"expires": 15}},
    "journal.deliver_outbox": {
        "task": "journal.deliver_outbox",
        "schedule": 2.0,
        "options": {"expires": 10},
    },
    "journal.sweep_hooks": {"task": "journal.sweep_hooks", "schedule": 10.0, "options": {"expires": 30}},
    "journal.fold_counts": {"task": "journal.fold_counts", "schedule": 5.0, "options": {"expires": 15}},
    "triage.fold_held": {"task": "triage.fold_held", "schedule": 5.0, "options": {"expires": 15}},
    "triage.wake": {"task": "triage.wake", "schedule": 15.0, "options": {"expires": 30}},
    "triage.escalate": {"task": "triage.escalate", "schedule": 60.0, "options": {"expires": 120}},
    "triage.notices": {"task": "triage.notices", "schedule": 20.0, "options": {"expires": 60}},
    "triage.jobs": {"task": "triage.jobs", "schedule": 1.0, "options": {"expires": 5}},
    "journal.seal": {"task": "journal.seal", "schedule": 60.0, "options": {"expires": 120}},
    "journal.partitions": {"task": "journal.partitions", "schedule": crontab(hour="0", minute="17")},
    "journal.retention": {"task": "journal.retention", "schedule": crontab(hour="1", minute="17")},
    "triage.prune": {"task": "triage.prune", "schedule": crontab(hour="1", minute="37")},
}

# ---- Money: figures of several currencies are also shown in this one -------------------------------------------------
REPORTING_CURRENCY = env.currency("REPORTING_CURRENCY", "GBP")

# ---- Desk: a case due within so many working hours that nobody holds is told to the lead of its role; 0 never ------------
ESCALATE_HOURS = {
    "blocking-billing": env.integer("ESCALATE_BILLING_HOURS", 8, maximum=400),
    "blocking-provisioning": env.integer("ESCALATE_SETUP_HOURS", 8, maximum=400),
    "warning": env.integer("ESCALATE_WARNING_HOURS", 0, maximum=400),
}

# ---- Mail: without EMAIL_HOST nobody is written to ---------------------------------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST", "")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.boolean("EMAIL_USE_SSL", False)
if EMAIL_USE_TLS and EMAIL_USE_SSL:
    raise ImproperlyConfigured(
        "Set EMAIL_USE_TLS (STARTTLS) or EMAIL_USE_SSL (TLS from the start), not both."
    )
EMAIL_TIMEOUT = env.integer("EMAIL_TIMEOUT", 15, minimum=1, maximum=300)
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "pssync@localhost")

# ---- Engine --------------------------------------------------------------------------------------------------------
SYNC_LEASE_SECONDS = env.integer("SYNC_LEASE_SECONDS", 15, minimum=3)
SYNC_POISON_TAKEOVERS = env.integer("SYNC_POISON_TAKEOVERS", 3, minimum=1)
SYNC_PUMP_SECONDS = env.integer("SYNC_PUMP_SECONDS", 20, minimum=1)
SYNC_PUMP_SLOTS = env.integer("SYNC_PUMP_SLOTS", 2, minimum=1)
SYNC_PUMP_THREADS = env.integer("SYNC_PUMP_THREADS", 16, minimum=1)
SYNC_POLL_SECONDS = env.integer("SYNC_POLL_SECONDS", 15, minimum=1)
SYNC_OUTAGE_HOURS = env.integer("SYNC_OUTAGE_HOURS", 72, minimum=0)
SYNC_MAX_ATTEMPTS = env.integer("SYNC_MAX_ATTEMPTS", 8, minimum=1)
SYNC_RETRY_BASE_SECONDS = env.integer("SYNC_RETRY_BASE_SECONDS", 2, minimum=1)
SYNC_RETRY_CAP_SECONDS = env.integer("SYNC_RETRY_CAP_SECONDS", 300, minimum=1)
if SYNC_RETRY_BASE_SECONDS > SYNC_RETRY_CAP_SECONDS:
    raise ImproperlyConfigured("SYNC_RETRY_BASE_SECONDS must not be longer than SYNC_RETRY_CAP_SECONDS.")
# A pump leaves its seat after SYNC_PUMP_SECONDS. One bell a second fills so many seats a second again: many need more bells.
for _number in range(2, -(-2 * SYNC_PUMP_SLOTS // SYNC_PUMP_SECONDS) + 1):
    CELERY_BEAT_SCHEDULE[f"sync.ring.{_number}"] = CELERY_BEAT_SCHEDULE["sync.ring"]
HTTP_CONNECT_TIMEOUT = env.integer("HTTP_CONNECT_TIMEOUT", 5, minimum=1)
HTTP_READ_TIMEOUT = env.integer("HTTP_READ_TIMEOUT", 30, minimum=1)
# Hosts on loopback or private networks that adapters may call all the same (the sandbox, a gateway inside).
OUTBOUND_ALLOW_PRIVATE = env.words("OUTBOUND_ALLOW_PRIVATE", "" if PRODUCTION else "127.0.0.1,localhost")
# Its seven ports follow this one.
SANDBOX_URL = env.address(
    "SANDBOX_URL",
    f"http://127.0.0.1:{env.integer('SANDBOX_PORT', 9100, minimum=1, maximum=65529)}",
    port=True,
)

# ---- Retention: whole months that are kept besides the present one; 0 keeps for ever ---------------------------------
RETENTION_MONTHS_PAYLOADS = env.integer("RETENTION_MONTHS_PAYLOADS", 3, maximum=1200)
RETENTION_MONTHS_INBOX = env.integer("RETENTION_MONTHS_INBOX", 6, maximum=1200)
RETENTION_MONTHS_ACTIONS = env.integer("RETENTION_MONTHS_ACTIONS", 24, maximum=1200)
RETENTION_MONTHS_JOBS = env.integer("RETENTION_MONTHS_JOBS", 6, maximum=1200)
RETENTION_MONTHS_AUDIT = env.integer("RETENTION_MONTHS_AUDIT", 0, maximum=1200)
# Longer than any sender redelivers: Stripe's events can be sent again for 30 days, Salesforce keeps its for 3.
INBOX_KEY_DAYS = env.integer("INBOX_KEY_DAYS", 90, minimum=35, maximum=36_500)

# ---- Logs ----------------------------------------------------------------------------------------------------------
DJANGO_STRUCTLOG_COMMAND_LOGGING_ENABLED = False
LOGGING = logs.configure(
    json=env.boolean("LOG_JSON", PRODUCTION), level=env.choice("LOG_LEVEL", "INFO", logs.LEVELS)
)
