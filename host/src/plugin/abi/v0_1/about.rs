//! The optional half `about`.

use super::bindings::exports::pointsman::plugin::about;
use crate::plugin::{Description, Setting, sandbox::Data};
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

/// Where a component's half is.
pub(crate) struct About(about::GuestIndices);

impl About {
    pub(crate) fn find(pre: &InstancePre<Data>) -> wasmtime::Result<About> {
        Ok(About(about::GuestIndices::new(pre)?))
    }

    pub(crate) fn describe(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Description> {
        let guest = self.0.load(&mut *store, instance)?;
        let about::Description { summary, settings } = guest.call_describe(store)?;
        let setting =
            |setting: about::Setting| Setting { name: setting.name, default: setting.default, help: setting.help };
        Ok(Description { summary, settings: settings.into_iter().map(setting).collect() })
    }
}
