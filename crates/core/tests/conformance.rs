//! The memory provider keeps the contract.

use std::sync::Arc;

use headcount_core::ids::TenantId;
use headcount_core::memory::MemoryProvider;
use headcount_provider_conformance::{Subject, provider_conformance};

fn subject() -> Subject {
    let provider = Arc::new(MemoryProvider::default());
    Subject {
        provider: provider.clone(),
        feed: provider,
        tenants: [TenantId::new(1), TenantId::new(2)],
        guard: Box::new(()),
    }
}

provider_conformance!(memory, subject());
