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
        let known = lock(&self.made).get(app).and_then(|mine| find(mine, name));
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        // Not under the lock, which is everybody's.
        let loaded = Arc::new(make(provider, name)?);
        Ok(self.keep(app, name, loaded))
    }

    /// Keeps a new one; another may have been quicker, whose is the one that counts.
    fn keep(&self, app: &Name, name: &str, loaded: Arc<Loaded>) -> Arc<Loaded> {
        let mut made = lock(&self.made);
        if made.len() >= MAX_APPS && !made.contains_key(app) {
            let any = made.keys().next().cloned();
            any.and_then(|any| made.remove(&any));
        }
        let mine = made.entry(app.clone()).or_default();
        if let Some(first) = find(mine, name) {
            return first;
        }
        if mine.len() >= MAX_NAMES {
            mine.pop_front();
        }
        mine.push_back((name.to_owned(), loaded.clone()));
        loaded
    }
}

fn find(mine: &OfApp, name: &str) -> Option<Arc<Loaded>> {
    let found = mine.iter().find(|(known, _)| known == name);
    found.map(|(_, loaded)| loaded.clone())
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

    /// An app more than there is room for costs one other its certificates, not all of them theirs; and of two
    /// made at once for a name all are shown the first.
    #[test]
    fn forgets_one_app_for_another() {
        let (made, provider) = (SelfSigned::default(), provider());
        let loaded = Arc::new(make(&provider, "x.example").unwrap());
        for number in 0..=MAX_APPS {
            made.keep(
                &format!("a{number}").as_str().into(),
                "x.example",
                loaded.clone(),
            );
        }
        assert_eq!(lock(&made.made).len(), MAX_APPS);
        let last = Name::from(format!("a{MAX_APPS}").as_str());
        let other = Arc::new(make(&provider, "x.example").unwrap());
        assert!(Arc::ptr_eq(&made.keep(&last, "x.example", other), &loaded));
    }
}
