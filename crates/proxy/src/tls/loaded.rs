//! A certificate ready to be shown: read, checked against its key, and with a configuration for each way
//! that ports speak TLS with it.
//!
//! Each configuration has ticket keys of its own, so a session is resumed only with the certificate, and so
//! the app and the audience, that it began with.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use roost_core::Micros;
use roost_wire::{Handler, Name, Port, TlsOptions, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};

use crate::seldom::Seldom;
use crate::shared::lock;

/// Ways of one certificate that are kept; its ports mostly speak TLS the same way.
const MAX_WAYS: usize = 16;
/// Certificates in a chain.
const MAX_CHAIN: usize = 16;
/// HTTP/2 by the name of ALPN.
pub(super) const HTTP2: &str = "h2";
/// How often another certificate is asked for while one is past its renewal.
const ASK_EVERY: Micros = 60_000_000;

/// A certificate with its key.
pub(crate) struct Loaded {
    key: Arc<CertifiedKey>,
    ways: Mutex<Vec<(Way, Arc<ServerConfig>)>>,
    /// When another may be asked for again.
    ask_at: AtomicU64,
    /// The same, by those for whom this one will not do.
    seek: Seldom,
    /// Tells its text from others.
    pub(super) print: u64,
}

/// How a port speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    options: TlsOptions,
    /// What is spoken inside unless the options say so.
    inside: &'static [&'static str],
}

impl Loaded {
    /// Reads PEM. The error is one sentence, and says nothing of the key.
    pub(crate) fn read(provider: &CryptoProvider, chain: &str, key: &str) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .take(MAX_CHAIN + 1)
            .collect();
        let chain = chain.map_err(|error| format!("the chain is no PEM: {error}"))?;
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            let count = chain.len();
            return Err(format!(
                "the chain has {count} certificates, not 1 to {MAX_CHAIN}"
            ));
        }
        // Its error could show a part of the key.
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "the key is no PEM private key".to_owned())?;
        Self::new(provider, chain, key)
    }

    /// Of a chain and a key.
    pub(super) fn new(
        provider: &CryptoProvider,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let certified =
            CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    "the key is not that of the chain's first certificate".to_owned()
                }
                other => format!("the chain or key cannot be used: {other}"),
            })?;
        Ok(Self {
            key: Arc::new(certified),
            ways: Mutex::default(),
            ask_at: AtomicU64::new(0),
            seek: Seldom::default(),
            print: 0,
        })
    }

    /// The configuration for a port. Made when it is first asked for.
    pub(crate) fn config(
        &self,
        provider: &Arc<CryptoProvider>,
        port: &Port,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let usual = TlsOptions::default();
        let options = port.tls_options.as_deref().unwrap_or(&usual);
        let inside = inside(port);
        let mut ways = lock(&self.ways);
        let same = |way: &Way| way.options == *options && way.inside == inside;
        if let Some((_, config)) = ways.iter().find(|(way, _)| same(way)) {
            return Ok(config.clone());
        }
        let options = options.clone();
        let way = Way { options, inside };
        let config = Arc::new(way.configure(self.key.clone(), provider)?);
        if ways.len() >= MAX_WAYS {
            ways.remove(0);
        }
        ways.push((way, config.clone()));
        Ok(config)
    }

    /// Whether another one is to be asked for at `now`; then not again for a minute.
    pub(crate) fn may_ask(&self, now: Micros) -> bool {
        let at = self.ask_at.load(Ordering::Relaxed);
        let later = now.saturating_add(ASK_EVERY);
        let (ours, theirs) = (Ordering::Relaxed, Ordering::Relaxed);
        now >= at
            && self
                .ask_at
                .compare_exchange(at, later, ours, theirs)
                .is_ok()
    }

    /// Whether one that has more is to be asked for at `now`; then not again for a second: what is issued
    /// may be no other.
    pub(crate) fn may_seek(&self, now: Micros) -> bool {
        self.seek.is_due(now)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Loaded")
    }
}

impl Way {
    fn configure(
        &self,
        key: Arc<CertifiedKey>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ServerConfig, rustls::Error> {
        let spoken = self
            .options
            .versions
            .as_deref()
            .filter(|all| !all.is_empty());
        let speaks = |version| spoken.is_none_or(|all| all.contains(&version));
        let versions: &[_] = match (speaks(TlsVersion::Tls12), speaks(TlsVersion::Tls13)) {
            (true, true) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS12],
            (false, true) => &[&TLS13],
            (false, false) => &[],
        };
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = match &self.options.alpn {
            Some(names) => names.iter().map(|name| name.as_bytes().to_vec()).collect(),
            None => self
                .inside
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect(),
        };
        // What a ticket says is in the ticket; a session without one is not resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

/// What the handlers of a port speak inside TLS, by the names of ALPN.
fn inside(port: &Port) -> &'static [&'static str] {
    if port.is_http() {
        &[HTTP2, "http/1.1"]
    } else if port.handlers.contains(&Handler::PgTls) {
        &["postgresql"]
    } else {
        &[]
    }
}

/// The cryptography, with no more suites than are promised. Which of TLS 1.2 count is a matter of the
/// certificate's key: those with RSA are for certificates that users bring.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        ..default_provider()
    }
}

/// The key of what is issued or given to one audience of one app.
pub(super) type Issue = (Name, Name);
