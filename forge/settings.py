"""All settings of Forge, read from the environment; docs/settings.md explains each."""

from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from forge import logs
from forge.accounts.signin.providers import allauth_setting
from forge.api.spectacular import SPECTACULAR_SETTINGS  # noqa: F401  (a setting)
from forge.console.unfold import UNFOLD  # noqa: F401  (a setting)
from forge.env import BASE_DIR, base_url, env, folder, identity_providers, networks, one_of, rate, required
from forge.ports import MAIL_ALWAYS, MAIL_KINDS, OPERATION_HANDLERS
from forge.schedule import BEAT_SCHEDULE, TASK_QUEUES, TASK_ROUTES

DEBUG = env.bool("DEBUG", default=False)
# Empty is a system-check error with a hint (forge.checks), not a traceback; Django itself refuses to sign with it.
SECRET_KEY = env.str("SECRET_KEY", default="forge-debug-key-that-signs-nothing-of-value" if DEBUG else "")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])

INSTALLED_APPS = [
    "forge.console",
    "unfold.apps.BasicAppConfig",
    "forge.console.adminapp.ForgeAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "django_filters",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "rest_framework",
    "forge.db",
    "forge.api",
    "forge.adminkit",
    "forge.operations",
    "forge.outbox",
    "audit",
    "forge.accounts",
    "blueprints",
    "workspaces",
    "costs",
    "budgets",
    "allauth",  # after the rooms: forge.accounts has templates of its own in place of some of its
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.socialaccount.providers.saml",
]

MIDDLEWARE = [
    "forge.metrics.requests.CountingMiddleware",
    "forge.metrics.probes.ProbeHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "forge.console.policies.PolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "forge.api.middleware.RequestIdMiddleware",
    "forge.api.scoping.RequestScopeMiddleware",  # outside of whatever asks the database
    "django_structlog.middlewares.RequestMiddleware",
    "forge.api.middleware.ProblemMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "audit.middleware.AuditMiddleware",  # above what refuses a foreign Host, so that this leaves its entry too
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "forge.api.scoping.SessionScopeMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "forge.accounts.signin.middleware.SignInMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "forge.urls"
WSGI_APPLICATION = "forge.wsgi.application"
ASGI_APPLICATION = "forge.asgi.application"
APPEND_SLASH = False  # routes accept both forms; a redirect would lose the body of a POST

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "forge.accounts.signin.context.site",
            ],
        },
    },
]

# -- Databases ---------------------------------------------------------------------------------------------------
_DATABASE_HINT = "`make demo` starts an embedded PostgreSQL; or set it to postgresql://user:password@host:5432/name."

# libpq's: who does not answer holds no thread for long. Sockets of this machine take no notice, a pooler is not told.
_PATIENCE = {
    "connect_timeout": 3,  # seconds, until the server has taken us in
    "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5,
    "tcp_user_timeout": 15_000,  # milliseconds without a sign of the other side, of keepalives too
}  # fmt: skip


def _database(url_name: str, fallback: dict | None = None) -> dict:
    if fallback is not None and not env.str(url_name, default=""):
        return dict(fallback)
    required(url_name, _DATABASE_HINT)
    config = env.db_url(url_name)
    if config["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"{url_name} must be a postgresql:// URL: Forge relies on PostgreSQL 15 or newer.")
    options = _PATIENCE | config.get("OPTIONS", {})
    return config | {
        "ENGINE": "forge.db.backend", "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options,
    }  # fmt: skip


_default = _database("DATABASE_URL")
DATABASES = {"default": _default, "owner": _database("DATABASE_OWNER_URL", fallback=_default)}
DATABASES["owner"]["TEST"] = {"MIRROR": "default"}
# A pooler hands a connection to somebody else after each transaction, and with it a cursor that outlives one.
DATABASES["default"] = DATABASES["default"] | {
    "DISABLE_SERVER_SIDE_CURSORS": env.bool("FORGE_DATABASE_POOLED", default=False)
}
if env.str("FORGE_REPLICA_URL", default=""):
    DATABASES["replica"] = _database("FORGE_REPLICA_URL") | {
        "DISABLE_SERVER_SIDE_CURSORS": DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"],
        "TEST": {"MIRROR": "default"},
    }
DATABASE_ROUTERS = ["forge.db.replica.ReplicaRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "forge.console.formats"

# -- People ------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["forge.accounts.backends.EmailBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",  # memory-hard, from the standard library
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "forge.accounts.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "account_login"  # the console has its own page and leads there itself
FORGE_SIGN_IN_VIEWS = [  # work in the system's scope: who signs in is looked for in all organizations
    "admin:login", "account_login", "mfa_authenticate", "mfa_login_webauthn", "openid_connect_login",
    "account_reset_password", "account_choose_password",
    "openid_connect_callback", "saml_login", "saml_acs", "saml_finish_acs", "saml_sls", "saml_metadata",
]  # fmt: skip
LOGIN_REDIRECT_URL = "admin:index"  # Unfold's sign-in page does not say where to go on to
FORGE_MFA_REQUIRED = env.bool("FORGE_MFA_REQUIRED", default=not DEBUG)
FORGE_EXPIRY_WARNING_DAYS = env.int("FORGE_EXPIRY_WARNING_DAYS", default=7)
FORGE_BASE_URL = env.str("FORGE_BASE_URL", default="") or base_url(ALLOWED_HOSTS, is_secure=not DEBUG)
FORGE_PASSWORD_LINK_MINUTES = env.int("FORGE_PASSWORD_LINK_MINUTES", default=60)
FORGE_INVITATION_DAYS = env.int("FORGE_INVITATION_DAYS", default=7)
FORGE_RATE_PASSWORD_RESET = rate("FORGE_RATE_PASSWORD_RESET", default="20/hour")
FORGE_LOCKOUT_FAILURES = env.int("FORGE_LOCKOUT_FAILURES", default=5)
FORGE_LOCKOUT_MINUTES = env.int("FORGE_LOCKOUT_MINUTES", default=30)
SESSION_ENGINE = "forge.accounts.signin.session_store"
SESSION_COOKIE_AGE = env.int("FORGE_SESSION_HOURS", default=12) * 3600
SESSION_COOKIE_SECURE = env.bool("SESSION_COOKIE_SECURE", default=not DEBUG)
CSRF_COOKIE_SECURE = env.bool("CSRF_COOKIE_SECURE", default=not DEBUG)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if DEBUG else 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_SECONDS > 0
SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SECURE_REDIRECT_EXEMPT = [r"^healthz/?$", r"^readyz/?$", r"^metrics/?$"]
if env.bool("FORGE_BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
# auth.W004: the email is unique whatever its case, by a constraint on lower(email), which the check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004", *env.list("SILENCED_SYSTEM_CHECKS", default=[])]

# -- Signing in (allauth; failures are counted by forge.accounts.signin.guarding alone, so its own limits are off) ---
ACCOUNT_ADAPTER = "forge.accounts.signin.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
SOCIALACCOUNT_ADAPTER = "forge.accounts.signin.sso.SocialAdapter"
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
FORGE_IDENTITY_PROVIDERS = identity_providers("FORGE_IDENTITY_PROVIDERS")
SOCIALACCOUNT_PROVIDERS = allauth_setting(FORGE_IDENTITY_PROVIDERS)
MFA_ADAPTER = "forge.accounts.signin.adapters.FactorAdapter"
MFA_FORMS = {
    "authenticate": "forge.accounts.signin.forms.CodeForm",
    "reauthenticate": "forge.accounts.signin.forms.ReauthenticationCodeForm",
    "add_webauthn": "forge.accounts.signin.key_forms.AddKeyForm",
    "authenticate_webauthn": "forge.accounts.signin.key_forms.KeyForm",
    "reauthenticate_webauthn": "forge.accounts.signin.key_forms.KeyAgainForm",
    "login_webauthn": "forge.accounts.signin.key_forms.PasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are the organization's, not typed in by whoever signs up
MFA_RATE_LIMITS = False
MFA_TOTP_TOLERANCE = 1  # clocks of telephones are off by some seconds

FORGE_PORTAL_ORIGINS = env.list("FORGE_PORTAL_ORIGINS", default=[])
CORS_ALLOWED_ORIGINS = FORGE_PORTAL_ORIGINS
CSRF_TRUSTED_ORIGINS = FORGE_PORTAL_ORIGINS
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "if-match", "x-request-id"]
CORS_EXPOSE_HEADERS = [
    "Location", "ETag", "X-Request-ID", "Audit-Receipt", "Idempotency-Replayed", "Retry-After",
    "Content-Disposition", "Repr-Digest", "Deprecation", "Sunset", "Link",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
]  # fmt: skip
FORGE_TRUSTED_PROXIES = env.int("FORGE_TRUSTED_PROXIES", default=0)

# -- API ---------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "forge.accounts.authentication.TokenAuthentication",
        "forge.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "forge.accounts.scopes.WithinTokenNetworks",
        "forge.accounts.scopes.WithinTokenScope",
    ],
    "DEFAULT_RENDERER_CLASSES": ["forge.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["forge.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "forge.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["forge.api.filters.StrictFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["forge.api.throttles.RateThrottle"],
    "DEFAULT_SCHEMA_CLASS": "forge.api.schema.ForgeSchema",
    "EXCEPTION_HANDLER": "forge.api.errors.exception_handler",
    "URL_FORMAT_OVERRIDE": None,  # a parameter `format` is a filter like any other
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
FORGE_RATE_TOKEN = rate("FORGE_RATE_TOKEN")
FORGE_RATE_USER = rate("FORGE_RATE_USER")
FORGE_RATE_TEAM = rate("FORGE_RATE_TEAM")
FORGE_RATE_ORGANIZATION = rate("FORGE_RATE_ORGANIZATION")
FORGE_RATE_ALL = rate("FORGE_RATE_ALL")
FORGE_RATE_LUCY = rate("FORGE_RATE_LUCY", default="20/minute")
FORGE_LAUNCHES_PER_HOUR = env.int("FORGE_LAUNCHES_PER_HOUR", default=None)
FORGE_LUCY_LAUNCHES_PER_HOUR = env.int("FORGE_LUCY_LAUNCHES_PER_HOUR", default=5)
FORGE_REFUSAL_RECORDER = "audit.capture.record_refusal"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# -- Ports: calls upwards, in order, inside the caller's transaction (docs/architecture.md) -------------------------
FORGE_LAUNCH_GUARDS = [
    "workspaces.guards.bundle_allowed_for_role",
    "workspaces.guards.blueprint_visible",
    "workspaces.guards.credentials_valid",
    "workspaces.guards.launch_rate",
    "budgets.guards.reserve",
]
FORGE_SPEND_HOOKS = ["budgets.ledger.settle"]
FORGE_END_HOOKS = ["costs.metering.close", "budgets.ledger.release"]
FORGE_CHANGE_HOOKS = ["budgets.fitting.fit"]
FORGE_UNDO_HOOKS = ["budgets.ledger.give_back"]
FORGE_KEEPING_PRICES = ["costs.quotes.of_keeping"]
FORGE_OPERATION_HANDLERS = OPERATION_HANDLERS
FORGE_MAIL_KINDS = MAIL_KINDS
FORGE_MAIL_ALWAYS = MAIL_ALWAYS
FORGE_MAIL_READER = "forge.accounts.mailing.reader"

# -- Money -------------------------------------------------------------------------------------------------------
FORGE_RESERVE_HOURS = env.int("FORGE_RESERVE_HOURS", default=40)
FORGE_PRICE_STALE_DAYS = env.int("FORGE_PRICE_STALE_DAYS", default=90)
FORGE_REFRESH_PRICES = env.bool("FORGE_REFRESH_PRICES", default=False)
FORGE_ADVICE_IDLE_DAYS = env.int("FORGE_ADVICE_IDLE_DAYS", default=14)
FORGE_ADVICE_LEAST_SAVING = env.int("FORGE_ADVICE_LEAST_SAVING", default=1)
FORGE_BILL_UPLOAD_MB = env.int("FORGE_BILL_UPLOAD_MB", default=256)
FORGE_BILL_MOST_LINES = env.int("FORGE_BILL_MOST_LINES", default=100_000_000)
FORGE_COST_EXPORT_RECORDS = env.int("FORGE_COST_EXPORT_RECORDS", default=500_000)

# -- Seals of the audit log ------------------------------------------------------------------------------------------
FORGE_AUDIT_SIGNING_KEY = env.str("FORGE_AUDIT_SIGNING_KEY", default="")
FORGE_AUDIT_VERIFIER_KEYS = env.list("FORGE_AUDIT_VERIFIER_KEYS", default=[])
FORGE_AUDIT_ORIGIN = env.str("FORGE_AUDIT_ORIGIN", default="forge.localhost/audit")
FORGE_AUDIT_FULL_VERIFY_DAYS = env.int("FORGE_AUDIT_FULL_VERIFY_DAYS", default=7)
FORGE_AUDIT_SINKS = env.list("FORGE_AUDIT_SINKS", default=[])

# -- Retention -------------------------------------------------------------------------------------------------------
FORGE_ARCHIVE = env.str("FORGE_ARCHIVE", default="")
FORGE_AUDIT_RETENTION_MONTHS = env.int("FORGE_AUDIT_RETENTION_MONTHS", default=84)
FORGE_COST_RETENTION_MONTHS = env.int("FORGE_COST_RETENTION_MONTHS", default=84)
FORGE_USAGE_RETENTION_MONTHS = env.int("FORGE_USAGE_RETENTION_MONTHS", default=13)
# -- Exports of the audit log ----------------------------------------------------------------------------------------
FORGE_EXPORT_STREAM_ENTRIES = env.int("FORGE_EXPORT_STREAM_ENTRIES", default=100_000)
FORGE_EXPORT_MOST_ENTRIES = env.int("FORGE_EXPORT_MOST_ENTRIES", default=5_000_000)
FORGE_EXPORT_DAYS = env.int("FORGE_EXPORT_DAYS", default=7)
# -- Exports of the console's lists ----------------------------------------------------------------------------------
FORGE_LIST_EXPORT_ROWS = env.int("FORGE_LIST_EXPORT_ROWS", default=250_000)
FORGE_EXPORTS_AT_ONCE = env.int("FORGE_EXPORTS_AT_ONCE", default=2)
# -- Metrics -----------------------------------------------------------------------------------------------------
FORGE_METRICS_TOKEN = env.str("FORGE_METRICS_TOKEN", default="")
FORGE_METRICS_PORT = env.int("FORGE_METRICS_PORT", default=0)
# prometheus_client reads the variable itself; a folder that is not there is told here, not by a traceback of its own.
PROMETHEUS_MULTIPROC_DIR = folder("PROMETHEUS_MULTIPROC_DIR")

# -- The log (forge.logs) --------------------------------------------------------------------------------------------
LOGGING_CONFIG = "forge.logs.configure"
LOGGING = logs.settings(
    form=one_of("FORGE_LOG_FORMAT", logs.FORMATS, default="console" if DEBUG else "json"),
    level=one_of("FORGE_LOG_LEVEL", logs.LEVELS, default="INFO"),
)
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # the one that forge.api.middleware has checked or made
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # it believes any X-Forwarded-For; the audit log has the address

# -- Tracing (forge.tracing) -----------------------------------------------------------------------------------------
FORGE_OTLP_ENDPOINT = env.str("FORGE_OTLP_ENDPOINT", default="")

# -- Work that happens by itself -------------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_QUEUES = TASK_QUEUES
CELERY_TASK_DEFAULT_QUEUE = "sweeps"
CELERY_TASK_ROUTES = TASK_ROUTES
CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE
CELERY_TIMEZONE = "UTC"
FORGE_OPERATION_LEASE_SECONDS = env.int("FORGE_OPERATION_LEASE_SECONDS", default=60)

# -- AWS ---------------------------------------------------------------------------------------------------------
AWS_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL", default="") or None
AWS_ENDPOINT_URL_S3 = env.str("AWS_ENDPOINT_URL_S3", default="") or None
FORGE_AWS_CONNECT_TIMEOUT = env.float("FORGE_AWS_CONNECT_TIMEOUT", default=5.0)
FORGE_AWS_READ_TIMEOUT = env.float("FORGE_AWS_READ_TIMEOUT", default=30.0)
FORGE_AWS_CALLS_PER_SECOND = env.float("FORGE_AWS_CALLS_PER_SECOND", default=5.0)  # of a place; 0: no limit
FORGE_AWS_CALL_BURST = env.int("FORGE_AWS_CALL_BURST", default=10)
FORGE_VANISHED_AT_MOST = env.int("FORGE_VANISHED_AT_MOST", default=5)
FORGE_TAG_REPAIRS_AT_MOST = env.int("FORGE_TAG_REPAIRS_AT_MOST", default=200)
FORGE_VANISHED_PERCENT_AT_MOST = env.int("FORGE_VANISHED_PERCENT_AT_MOST", default=20)
FORGE_QUARANTINE_DAYS = env.int("FORGE_QUARANTINE_DAYS", default=30)

# -- Rules of the lifecycle ------------------------------------------------------------------------------------------
FORGE_IDLE_CPU_PERCENT = env.float("FORGE_IDLE_CPU_PERCENT", default=10.0)
FORGE_IDLE_SAMPLES = env.int("FORGE_IDLE_SAMPLES", default=3)
FORGE_STOP_WARNING_MINUTES = env.int("FORGE_STOP_WARNING_MINUTES", default=10)
FORGE_END_WARNING_DAYS = env.int("FORGE_END_WARNING_DAYS", default=7)
FORGE_STALE_DAYS = env.int("FORGE_STALE_DAYS", default=30)
FORGE_STALE_NOTICE_DAYS = env.int("FORGE_STALE_NOTICE_DAYS", default=7)
FORGE_SESSION_HOURS_AT_MOST = env.int("FORGE_SESSION_HOURS_AT_MOST", default=168)
FORGE_LEASE_HOURS_AT_MOST = env.int("FORGE_LEASE_HOURS_AT_MOST", default=336)
FORGE_LIFECYCLE_AT_MOST = env.int("FORGE_LIFECYCLE_AT_MOST", default=50)  # machines a run may touch, or
FORGE_LIFECYCLE_PERCENT_AT_MOST = env.int("FORGE_LIFECYCLE_PERCENT_AT_MOST", default=5)  # this share, if larger

# -- Mail --------------------------------------------------------------------------------------------------------
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25")
vars().update(EMAIL_CONFIG)
if EMAIL_CONFIG["EMAIL_FILE_PATH"]:  # django-environ takes the first slash off
    EMAIL_FILE_PATH = "/" + EMAIL_CONFIG["EMAIL_FILE_PATH"].lstrip("/")
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=30)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="forge@localhost")
FORGE_NOTIFICATIONS_URL = env.str("FORGE_NOTIFICATIONS_URL", default="/api/v1/me/notifications/")

# -- Webhooks ----------------------------------------------------------------------------------------------------
FORGE_WEBHOOK_HTTP = env.bool("FORGE_WEBHOOK_HTTP", default=False)
FORGE_WEBHOOK_NETWORKS = networks("FORGE_WEBHOOK_NETWORKS")

# -- Static files --------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
WHITENOISE_USE_FINDERS = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
