//! Certificates made for one test, and servers that show them.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use sockeye_tokio_websocket::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("Sockeye tests")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// The roots of a client that trusts this authority alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    /// A server with a certificate for `names`.
    pub(crate) fn server(&self, names: &[&str]) -> TlsAcceptor {
        self.server_with(names, |_| {}, &[])
    }

    pub(crate) fn server_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        alpn: &[&str],
    ) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        acceptor(vec![certificate.der().clone()], key, alpn)
    }
}

/// Ends the validity of a certificate in the past.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: KeyPair, alpn: &[&str]) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
