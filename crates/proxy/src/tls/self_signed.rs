//! Certificates that the proxy signs itself, for ports with `default_self_signed`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use roost_wire::Name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;

use super::loaded::Loaded;
use crate::shared::lock;

/// Names of one app that are kept: callers may ask for any, each costs a signature.
const MAX_NAMES: usize = 32;
/// Apps that are kept.
const MAX_APPS: usize = 1024;

/// Those made so far, by app and name.
#[derive(Debug, Default)]
pub(super) struct SelfSigned {
    made: Mutex<HashMap<Name, OfApp>>,
}

/// The names of one app, the oldest first.
type OfApp = VecDeque<(String, Arc<Loaded>)>;

impl SelfSigned {
    /// The one of `app` for `name`. The error is one sentence.
    pub(super) fn get(
        &self,
        provider: &CryptoProvider,
        app: &Name,
        name: &str,
    ) -> Result<Arc<Loaded>, String> {
        let mut made = lock(&self.made);
        if made.len() >= MAX_APPS && !made.contains_key(app) {
            made.clear();
        }
        let mine = made.entry(app.clone()).or_default();
        if let Some((_, loaded)) = mine.iter().find(|(known, _)| known == name) {
            return Ok(loaded.clone());
        }
        let loaded = Arc::new(make(provider, name)?);
        if mine.len() >= MAX_NAMES {
            mine.pop_front();
        }
        mine.push_back((name.to_owned(), loaded.clone()));
        Ok(loaded)
    }
}

fn make(provider: &CryptoProvider, name: &str) -> Result<Loaded, String> {
    let failed = |error: rcgen::Error| format!("no certificate could be made: {error}");
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "self-signed by roost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(ToOwned::to_owned)?;
    Loaded::new(provider, vec![made.der().clone()], key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::loaded::provider;

    /// The same name has the same certificate, and as many as one likes cost bounded memory.
    #[test]
    fn keeps_a_bounded_number() {
        let (made, provider) = (SelfSigned::default(), provider());
        let app = Name::from("a");
        let get = |name: &str| made.get(&provider, &app, name).unwrap();
        let first = get("x.example");
        assert!(Arc::ptr_eq(&first, &get("x.example")));
        for number in 0..MAX_NAMES {
            get(&format!("n{number}.example"));
        }
        assert_eq!(
            lock(&made.made).get(&app).map(VecDeque::len),
            Some(MAX_NAMES)
        );
        assert!(!Arc::ptr_eq(&first, &get("x.example")));
    }
}
