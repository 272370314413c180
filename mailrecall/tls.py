"""What clients and servers here encrypt with: TLS 1.2 and newer, and the certificate that the settings name."""

import ssl

from mailrecall.settings import PREFIX, Settings, SettingsError


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what a server encrypts with; None where no certificate is set.

    Raises:
        SettingsError: the files cannot be used; the message says which and why.
    """
    if not settings.tls_certificate:
        return None
    variables = f"{PREFIX}TLS_CERTIFICATE, {PREFIX}TLS_KEY"
    files = f"{settings.tls_certificate} and {settings.tls_key}"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # an encrypted key would have its passphrase asked for on a terminal that no service has
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise SettingsError(
            f"{variables}: {files} are not a certificate and its key in PEM ({error.reason or 'unreadable'})."
        ) from None
    except OSError as error:
        raise SettingsError(f"{variables}: cannot read {files}: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{variables}: {error}") from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; store it without a passphrase, readable by the service alone.")
