//! Randomness derived from an execution's seed. *Part of the log format*: executions that are a year old replay with it.

use everstep_core::protocol::{OperationId, Seed};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

fn derive(seed: &Seed, purpose: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.0).chain_update(purpose.as_bytes()).finalize().into()
}

/// The stream that workflow code outside step bodies draws from: ChaCha20, keyed with SHA-256 of the seed and a word.
pub(crate) struct WorkflowRandom(ChaCha20Rng);

impl WorkflowRandom {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self(ChaCha20Rng::from_seed(derive(seed, "everstep random")))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// What hash maps are seeded with, inside and outside bodies.
pub(crate) fn hash_seed(seed: &Seed) -> (u64, u64) {
    let bytes = derive(seed, "everstep hash");
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    (word(0), word(8))
}

/// UUID-shaped, stable per execution and operation id (the ARN's own for the execution). It does not depend on the seed, so it can be computed from what
/// an API shows.
pub(crate) fn idempotency_key(arn: &str, operation: &str) -> String {
    let digest = Sha256::new()
        .chain_update(b"everstep idempotency")
        .chain_update(arn.as_bytes())
        .chain_update([0])
        .chain_update(operation.as_bytes())
        .finalize();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What step bodies draw from: the machine's entropy, or a stream of its own per attempt where a run is simulated.
pub(crate) enum BodyRandom {
    Entropy,
    Simulated(Box<ChaCha20Rng>),
}

impl BodyRandom {
    pub(crate) fn simulated(seed: &Seed, operation: &OperationId, attempt: u32) -> Self {
        let key = derive(seed, &format!("everstep body {operation} {attempt}"));
        Self::Simulated(Box::new(ChaCha20Rng::from_seed(key)))
    }

    /// `Err`: the machine has no entropy to give.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::Entropy => getrandom::fill(bytes),
            Self::Simulated(stream) => {
                stream.fill_bytes(bytes);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, executions started by earlier releases no longer replay.
    #[test]
    fn the_streams_are_frozen() {
        let seed = Seed([7; 32]);
        let mut bytes = [0; 8];
        WorkflowRandom::new(&seed).fill(&mut bytes);
        assert_eq!(u64::from_le_bytes(bytes), FROZEN_FIRST);
        assert_eq!(hash_seed(&seed), FROZEN_HASH);
        assert_eq!(idempotency_key("arn:x", "1"), FROZEN_KEY);
    }

    const FROZEN_FIRST: u64 = 11_092_958_685_995_265_086;
    const FROZEN_HASH: (u64, u64) = (14_004_791_047_761_301_691, 9_984_971_052_436_611_416);
    const FROZEN_KEY: &str = "2b7423dd-9d0a-5492-41df-75c79cd01f19";
}
