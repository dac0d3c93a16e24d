"""Addresses under /account/, by the names that allauth knows them by."""

from allauth.account.views import account_inactive
from allauth.mfa.base.views import index
from allauth.mfa.recovery_codes.views import download_recovery_codes, view_recovery_codes
from allauth.mfa.webauthn.views import list_webauthn
from allauth.socialaccount.providers.openid_connect import views as oidc
from allauth.socialaccount.providers.saml import views as saml
from allauth.socialaccount.views import login_cancelled, login_error
from django.urls import path

from forge.accounts.signin import recovery, views
from forge.accounts.signin.views import reading, signing_in

urlpatterns = [
    path("", views.OverviewView.as_view(), name="account_overview"),
    path("login/", views.SignInView.as_view(), name="account_login"),
    path("logout/", views.SignOutView.as_view(), name="account_logout"),
    path("password/forgotten/", recovery.ForgottenView.as_view(), name="account_reset_password"),
    path("password/sent/", recovery.SentView.as_view(), name="account_reset_password_done"),
    path("password/choose/", recovery.ChooseView.as_view(), name="account_choose_password"),
    path("password/not-valid/", recovery.LinkNotValidView.as_view(), name="account_link_not_valid"),
    path("inactive/", account_inactive, name="account_inactive"),
    path("reauthenticate/", views.PasswordAgainView.as_view(), name="account_reauthenticate"),
    path("sessions/<uuid:pk>/end/", views.EndSessionView.as_view(), name="account_end_session"),
    path("tokens/<uuid:pk>/revoke/", views.RevokeTokenView.as_view(), name="account_revoke_token"),
    path("tokens/revoke/", views.RevokeTokensView.as_view(), name="account_revoke_tokens"),
    path("2fa/", index, name="mfa_index"),
    path("2fa/authenticate/", views.CodeView.as_view(), name="mfa_authenticate"),
    path("2fa/reauthenticate/", views.CodeAgainView.as_view(), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", views.AddAppView.as_view(), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", views.RemoveAppView.as_view(), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", view_recovery_codes, name="mfa_view_recovery_codes"),
    path("2fa/recovery-codes/generate/", views.NewRecoveryCodesView.as_view(), name="mfa_generate_recovery_codes"),
    path("2fa/recovery-codes/download/", download_recovery_codes, name="mfa_download_recovery_codes"),
    path("2fa/webauthn/", list_webauthn, name="mfa_list_webauthn"),
    path("2fa/webauthn/add/", views.AddKeyView.as_view(), name="mfa_add_webauthn"),
    path("2fa/webauthn/reauthenticate/", views.KeyAgainView.as_view(), name="mfa_reauthenticate_webauthn"),
    path("2fa/webauthn/login/", views.PasskeyView.as_view(), name="mfa_login_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/remove/", views.RemoveKeyView.as_view(), name="mfa_remove_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/edit/", views.RenameKeyView.as_view(), name="mfa_edit_webauthn"),
    path("sso/cancelled/", login_cancelled, name="socialaccount_login_cancelled"),
    path("sso/error/", login_error, name="socialaccount_login_error"),
    path("oidc/<slug:provider_id>/login/", reading(oidc.login), name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", signing_in(oidc.callback), name="openid_connect_callback"),
    path("saml/<slug:organization_slug>/login/", reading(saml.login), name="saml_login"),
    path("saml/<slug:organization_slug>/acs/", reading(saml.acs), name="saml_acs"),
    path("saml/<slug:organization_slug>/acs/finish/", signing_in(saml.finish_acs), name="saml_finish_acs"),
    path("saml/<slug:organization_slug>/sls/", signing_in(views.signed_sign_out), name="saml_sls"),
    path("saml/<slug:organization_slug>/metadata/", saml.metadata, name="saml_metadata"),
]
