//! Version 0.1 of the contract: what of it is exported and called, what of it is imported and answered.

mod about;
mod bindings;
mod convert;
mod edits;
mod exports;
mod feedback;
mod host;
mod kv;
mod metrics;
mod notes;
mod probes;
mod stdio;
mod subsets;
mod wasi;

pub(crate) use about::About;
pub(crate) use edits::Edits;
pub(crate) use exports::{Balancer, Exports, Filter};
pub(crate) use feedback::Batch;
pub(crate) use probes::Answers;
pub(crate) use stdio::Stdio;

use crate::plugin::sandbox::Data;
use wasmtime::component::{HasSelf, Linker};

/// Counts a call of the host: each goes through here on its way to its function.
fn counted(data: &mut Data) -> &mut Data {
    data.host_calls += 1;
    data
}

/// Links everything that a plugin may import.
pub(crate) fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    use bindings::pointsman::plugin::{
        edits, figures, kv, log, metrics, notes, probes, rate_limit, request, shared, subsets,
    };
    request::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    figures::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    shared::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    kv::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    metrics::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    rate_limit::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    log::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    edits::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    subsets::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    notes::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    probes::add_to_linker::<_, HasSelf<Data>>(linker, counted)?;
    wasi::link(linker)
}
