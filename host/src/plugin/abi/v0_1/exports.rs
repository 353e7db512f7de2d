//! What a plugin exports: found in the component once, loaded for each instance, called from then on.

use super::{
    bindings::{
        exports::pointsman::plugin::{balancer, feedback, filter, handover, prober, ticker},
        pointsman::plugin::types,
    },
    feedback::Batch,
    probes::Answers,
};
use crate::plugin::{Decision, Kind, Membership, State, Turn, abi::Names, records::Place, sandbox::Data};
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

/// Where a component's halves are.
pub(crate) enum Exports {
    Balancer(balancer::GuestIndices, Halves),
    Filter(filter::GuestIndices),
}

/// The optional ones of a balancer.
pub(crate) struct Halves {
    ticker: Option<ticker::GuestIndices>,
    feedback: Option<feedback::GuestIndices>,
    handover: Option<handover::GuestIndices>,
    prober: Option<prober::GuestIndices>,
}

impl Exports {
    pub(crate) fn find(pre: &InstancePre<Data>, kind: Kind, names: &Names) -> wasmtime::Result<Exports> {
        Ok(match kind {
            Kind::Balancer => {
                let ticker = names.has("ticker").then(|| ticker::GuestIndices::new(pre)).transpose()?;
                let feedback = names.has("feedback").then(|| feedback::GuestIndices::new(pre)).transpose()?;
                let handover = names.has("handover").then(|| handover::GuestIndices::new(pre)).transpose()?;
                let prober = names.has("prober").then(|| prober::GuestIndices::new(pre)).transpose()?;
                Exports::Balancer(balancer::GuestIndices::new(pre)?, Halves { ticker, feedback, handover, prober })
            }
            Kind::Filter => Exports::Filter(filter::GuestIndices::new(pre)?),
        })
    }

    /// None when this component is no balancer.
    pub(crate) fn balancer(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Option<Balancer>> {
        let Exports::Balancer(balancer, halves) = self else { return Ok(None) };
        let ticker = halves.ticker.as_ref().map(|ticker| ticker.load(&mut *store, instance)).transpose()?;
        let feedback = halves.feedback.as_ref().map(|feedback| feedback.load(&mut *store, instance)).transpose()?;
        let handover = halves.handover.as_ref().map(|handover| handover.load(&mut *store, instance)).transpose()?;
        let prober = halves.prober.as_ref().map(|prober| prober.load(&mut *store, instance)).transpose()?;
        Ok(Some(Balancer { guest: balancer.load(store, instance)?, ticker, feedback, handover, prober }))
    }

    /// None when this component is no filter.
    pub(crate) fn filter(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Option<Filter>> {
        let Exports::Filter(filter) = self else { return Ok(None) };
        Ok(Some(Filter { guest: filter.load(store, instance)? }))
    }
}

/// A loaded balancer. The store given to a method is the one it was loaded in.
pub(crate) struct Balancer {
    guest: balancer::Guest,
    ticker: Option<ticker::Guest>,
    feedback: Option<feedback::Guest>,
    handover: Option<handover::Guest>,
    prober: Option<prober::Guest>,
}

impl Balancer {
    /// The inner error is the plugin's refusal of its settings.
    pub(crate) fn configure(
        &self,
        store: &mut Store<Data>,
        settings: &str,
        place: &Place,
    ) -> wasmtime::Result<Result<(), String>> {
        self.guest.call_configure(store, settings, &place.into())
    }

    pub(crate) fn update(&self, store: &mut Store<Data>, members: &Membership) -> wasmtime::Result<()> {
        let ready: Vec<types::Backend> = members.ready.iter().map(Into::into).collect();
        let others: Vec<types::Backend> = members.others.iter().map(Into::into).collect();
        self.guest.call_update(store, &ready, &others)
    }

    pub(crate) fn pick(&self, store: &mut Store<Data>, turn: Turn) -> wasmtime::Result<Decision> {
        self.guest.call_pick(store, turn.into()).map(Into::into)
    }

    pub(crate) fn period_ms(&self, store: &mut Store<Data>) -> wasmtime::Result<Option<u32>> {
        self.ticker.as_ref().map(|ticker| ticker.call_period_ms(store)).transpose()
    }

    pub(crate) fn tick(&self, store: &mut Store<Data>, now_us: u64) -> wasmtime::Result<()> {
        self.ticker.as_ref().map_or(Ok(()), |ticker| ticker.call_tick(store, now_us))
    }

    /// Whether it wants to hear what became of its decisions.
    pub(crate) fn hears(&self) -> bool {
        self.feedback.is_some()
    }

    pub(crate) fn observe(&self, store: &mut Store<Data>, now_us: u64, batch: &Batch) -> wasmtime::Result<()> {
        self.feedback.as_ref().map_or(Ok(()), |feedback| feedback.call_observe(store, now_us, batch.outcomes()))
    }
}

impl Balancer {
    /// Whether it wants to hear what backends say when they are asked how busy they are.
    pub(crate) fn asks(&self) -> bool {
        self.prober.is_some()
    }

    pub(crate) fn probed(&self, store: &mut Store<Data>, now_us: u64, answers: &Answers) -> wasmtime::Result<()> {
        self.prober.as_ref().map_or(Ok(()), |prober| prober.call_probed(store, now_us, answers.columns()))
    }

    /// None: it keeps nothing.
    pub(crate) fn schema(&self, store: &mut Store<Data>) -> wasmtime::Result<Option<u32>> {
        self.handover.as_ref().map(|handover| handover.call_schema(store)).transpose()
    }

    pub(crate) fn save(&self, store: &mut Store<Data>) -> wasmtime::Result<Vec<u8>> {
        self.handover.as_ref().map_or(Ok(Vec::new()), |handover| handover.call_save(store))
    }

    /// The inner error is the plugin's refusal of the state.
    pub(crate) fn restore(&self, store: &mut Store<Data>, state: &State) -> wasmtime::Result<Result<(), String>> {
        let refused = || Ok(Err("it has no half `handover`".to_owned()));
        self.handover.as_ref().map_or_else(refused, |handover| handover.call_restore(store, state.schema, &state.parts))
    }
}

/// A loaded filter. The store given to a method is the one it was loaded in.
pub(crate) struct Filter {
    guest: filter::Guest,
}

impl Filter {
    /// The inner error is the plugin's refusal of its settings.
    pub(crate) fn configure(
        &self,
        store: &mut Store<Data>,
        settings: &str,
        place: &Place,
    ) -> wasmtime::Result<Result<(), String>> {
        self.guest.call_configure(store, settings, &place.into())
    }

    /// Whether it responded.
    pub(crate) fn on_request(&self, store: &mut Store<Data>, turn: Turn) -> wasmtime::Result<bool> {
        Ok(self.guest.call_on_request(store, turn.into())? == filter::Verdict::Responded)
    }
}
