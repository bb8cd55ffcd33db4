//! The key of `Fly-Src`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SECRET_KEY_LENGTH, Signer as _, SigningKey};
use roost_wire::Secret;

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("src_key is not the base64 of {SECRET_KEY_LENGTH} bytes")]
pub(crate) struct KeyError;

/// Signs. Its `Debug` shows the public half only.
#[derive(Debug)]
pub(crate) struct Signer {
    key: SigningKey,
    record: String,
}

impl Signer {
    /// A signer with the key of the settings.
    pub(crate) fn new(secret: &Secret) -> Result<Self, KeyError> {
        let seed = STANDARD.decode(secret.0.as_bytes()).map_err(|_| KeyError)?;
        let seed: [u8; SECRET_KEY_LENGTH] = seed.try_into().map_err(|_| KeyError)?;
        let key = SigningKey::from_bytes(&seed);
        let public = STANDARD.encode(key.verifying_key().as_bytes());
        Ok(Self {
            key,
            record: format!("v=1;k=ed25519;p={public}"),
        })
    }

    /// The public key, as its TXT record has it.
    pub(crate) fn record(&self) -> &str {
        &self.record
    }

    /// The signature over `value` in padded base64.
    pub(super) fn sign(&self, value: &str) -> String {
        STANDARD.encode(self.key.sign(value.as_bytes()).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first test vector of RFC 8032, 7.1: an empty message.
    #[test]
    fn signs_as_the_standard_says() {
        let seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        let signer = Signer::new(&Secret(seed.into())).unwrap();
        assert_eq!(
            signer.record(),
            "v=1;k=ed25519;p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        assert_eq!(
            signer.sign(""),
            "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw=="
        );
    }

    /// A key that is no base64, or of another length, is refused without showing it.
    #[test]
    fn refuses_bad_keys() {
        for seed in [
            "",
            "AAEC",
            "no base64!",
            "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        ] {
            let error = Signer::new(&Secret(seed.into())).unwrap_err();
            assert!(seed.is_empty() || !error.to_string().contains(seed));
        }
    }
}
