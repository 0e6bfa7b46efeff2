//! TLS to a server or a proxy, by rustls.
//!
//! Trust comes from the operating system's verifier unless the user gives roots or a whole configuration: it knows
//! what the administrator trusts and revoked, and on Windows and macOS roots that no list of files holds.

use rustls_platform_verifier::BuilderVerifierExt;
use std::{
    io,
    sync::{Arc, OnceLock},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
        crypto::{CryptoProvider, ring},
        pki_types::ServerName,
    },
};

use super::{stream::ClientStream, target::Host};

/// The only protocol that is asked for by ALPN: the opening handshake is an HTTP/1.1 request (RFC 6455 §4.1).
const ALPN: &[u8] = b"http/1.1";

/// Whom a client trusts.
#[derive(Debug, Clone, Default)]
pub(super) enum Trust {
    /// The operating system decides.
    #[default]
    Platform,
    Roots(Arc<Roots>),
    Config(Arc<ClientConfig>),
}

/// Roots, and the configuration made of them when it is needed first; clones of a connector share its session cache.
#[derive(Debug)]
pub(super) struct Roots {
    store: Arc<RootCertStore>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    pub(super) fn roots(roots: RootCertStore) -> Self {
        Self::Roots(Arc::new(Roots { store: Arc::new(roots), config: OnceLock::new() }))
    }

    pub(super) fn config(mut config: Arc<ClientConfig>) -> Self {
        if config.alpn_protocols != [ALPN] {
            Arc::make_mut(&mut config).alpn_protocols = vec![ALPN.into()];
        }
        Self::Config(config)
    }

    fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        static PLATFORM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        match self {
            Self::Config(config) => Ok(Arc::clone(config)),
            Self::Platform => cached(&PLATFORM, || {
                Ok(builder()?.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth())
            }),
            Self::Roots(roots) => cached(&roots.config, || {
                Ok(builder()?.with_root_certificates(Arc::clone(&roots.store)).with_no_client_auth())
            }),
        }
    }

    /// The client's TLS handshake with `host` on `stream`.
    pub(super) async fn connect(&self, stream: ClientStream, host: &Host) -> io::Result<ClientStream> {
        let connector = TlsConnector::from(self.client_config()?);
        let stream = connector.connect(server_name(host)?, stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            None | Some(ALPN) => Ok(ClientStream::from_tls(stream)),
            Some(_) => Err(io::Error::other("the server chose a protocol by ALPN that was not offered")),
        }
    }
}

/// The configuration in `cell`, made when it is needed first. A failure is not kept.
fn cached(
    cell: &OnceLock<Arc<ClientConfig>>,
    make: impl FnOnce() -> io::Result<ClientConfig>,
) -> io::Result<Arc<ClientConfig>> {
    if let Some(config) = cell.get() {
        return Ok(Arc::clone(config));
    }
    let mut config = make()?;
    config.alpn_protocols = vec![ALPN.into()];
    Ok(Arc::clone(cell.get_or_init(|| Arc::new(config))))
}

/// A builder with the process's cryptography if it installed one, ring's otherwise.
fn builder() -> io::Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = CryptoProvider::get_default().cloned();
    ClientConfig::builder_with_provider(provider.unwrap_or_else(|| Arc::new(ring::default_provider())))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
}

/// The name that the server's certificate must be for, and that SNI tells (addresses are not told).
fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Ip(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => {
            // RFC 6066 §3: the host name is given "without a trailing dot".
            let name = name.strip_suffix('.').unwrap_or(name);
            ServerName::try_from(name.to_owned()).map_err(io::Error::other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_1_1_is_asked_for() {
        let mut config =
            builder().unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".into()];
        for trust in [Trust::config(Arc::new(config)), Trust::roots(RootCertStore::empty())] {
            assert_eq!(trust.client_config().unwrap().alpn_protocols, [b"http/1.1"]);
        }
    }

    #[test]
    fn clones_share_one_configuration() {
        let trust = Trust::roots(RootCertStore::empty());
        let [one, other] = [trust.clone(), trust].map(|trust| trust.client_config().unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn names_and_addresses_are_server_names() {
        let name = |name: &str| server_name(&Host::Name(name.into()));
        assert_eq!(name("example.com.").unwrap(), ServerName::try_from("example.com").unwrap());
        assert!(matches!(server_name(&Host::Ip([127, 0, 0, 1].into())), Ok(ServerName::IpAddress(_))));
        assert!(name("exam ple").is_err());
    }
}
