//! What a plugin may ask: the request at hand, live figures, shared numbers, its log. Each function is constant in time
//! or bounded by what it is given or gives, for a deadline does not reach into it.

use super::bindings::pointsman::plugin::{figures, log, request, shared, types};
use crate::{
    figures::{BackendFigures, REPORTED_MOST, Reservation},
    net::{ClientCertificate, Part},
    plugin::{
        Call, Level,
        sandbox::Data,
        shared::{COUNTERS_MAX, Row, SLOTS},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use wasmtime::{Result, bail, format_err};

impl types::Host for Data {}

impl request::Host for Data {
    fn method(&mut self) -> Result<String> {
        Ok(self.request("method")?.head.method.as_str().to_owned())
    }

    fn scheme(&mut self) -> Result<String> {
        Ok(self.request("scheme")?.head.connection.scheme().as_str().to_owned())
    }

    fn authority(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.request("authority")?.head.authority.as_bytes()).into_owned())
    }

    fn path(&mut self) -> Result<Vec<u8>> {
        Ok(self.request("path")?.head.target.path().into())
    }

    fn query(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.request("query")?.head.target.query().map(Into::into))
    }

    fn header(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self.request("header")?.head.header(&name).map(Into::into))
    }

    fn headers(&mut self) -> Result<Vec<(String, Vec<u8>)>> {
        let headers = self.request("headers")?.head.headers.iter();
        Ok(headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn cookie(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self.request("cookie")?.head.cookie(&name).map(Into::into))
    }

    fn tag(&mut self, name: String) -> Result<Option<String>> {
        Ok(self.request("tag")?.head.tag(&name).map(Into::into))
    }

    fn client_address(&mut self) -> Result<String> {
        Ok(self.request("client-address")?.head.client.to_string())
    }

    fn sni(&mut self) -> Result<Option<String>> {
        let tls = self.request("sni")?.head.connection.tls.as_ref();
        Ok(tls.and_then(|tls| tls.sni.as_deref()).map(Into::into))
    }

    fn alpn(&mut self) -> Result<Option<String>> {
        let tls = self.request("alpn")?.head.connection.tls.as_ref();
        Ok(tls.and_then(|tls| tls.alpn.as_deref()).map(Into::into))
    }

    fn peer_certificate_sha256(&mut self) -> Result<Option<Vec<u8>>> {
        let tls = self.request("peer-certificate-sha256")?.head.connection.tls.as_ref();
        Ok(tls.and_then(|tls| tls.client.as_deref()).map(ClientCertificate::digest))
    }

    fn hash(&mut self, part: request::Part, name: String, seed: u64) -> Result<Option<u64>> {
        let part = match part {
            request::Part::Header => Part::Header(&name),
            request::Part::Cookie => Part::Cookie(&name),
            request::Part::Query => Part::Query(&name),
            request::Part::Tag => Part::Tag(&name),
            request::Part::Path => Part::Path,
            request::Part::Authority => Part::Authority,
            request::Part::Client => Part::Client,
        };
        Ok(self.request("hash")?.head.hash(part, seed))
    }

    fn tried(&mut self) -> Result<Vec<u32>> {
        let this = self.request("tried")?;
        Ok(this.tried.iter().filter_map(|id| this.members.position(*id)).collect())
    }

    fn stuck(&mut self) -> Result<Option<u32>> {
        let this = self.request("stuck")?;
        Ok(this.stuck.and_then(|id| this.members.position(id)))
    }
}

impl figures::Host for Data {
    fn in_flight(&mut self, of: u32) -> Result<u32> {
        Ok(self.figures(of)?.in_flight())
    }

    fn total_in_flight(&mut self) -> Result<u32> {
        Ok(self.figures.iter().fold(0, |sum: u32, figures| sum.saturating_add(figures.in_flight())))
    }

    fn latency_us(&mut self, of: u32) -> Result<u32> {
        Ok(self.figures(of)?.latency_us())
    }

    fn peak_latency_us(&mut self, of: u32) -> Result<u32> {
        let now = self.now();
        Ok(self.figures(of)?.peak_latency_us(now))
    }

    fn peak_wait_us(&mut self, of: u32) -> Result<u64> {
        let now = self.now();
        let figures = self.figures(of)?;
        Ok(u64::from(figures.peak_latency_us(now)).saturating_mul(u64::from(figures.in_flight()) + 1))
    }

    fn success_permille(&mut self, of: u32) -> Result<u32> {
        Ok(self.figures(of)?.success_permille())
    }

    fn consecutive_failures(&mut self, of: u32) -> Result<u32> {
        Ok(self.figures(of)?.consecutive_failures())
    }

    fn age_ms(&mut self, of: u32) -> Result<u64> {
        let now = self.now();
        Ok(u64::try_from(self.figures(of)?.age(now).as_millis())?)
    }

    fn all_in_flight(&mut self) -> Result<Vec<u32>> {
        Ok(self.all(BackendFigures::in_flight))
    }

    fn all_latency_us(&mut self) -> Result<Vec<u32>> {
        Ok(self.all(BackendFigures::latency_us))
    }

    fn all_peak_latency_us(&mut self) -> Result<Vec<u32>> {
        let now = self.now();
        Ok(self.all(|figures| figures.peak_latency_us(now)))
    }

    fn all_success_permille(&mut self) -> Result<Vec<u32>> {
        Ok(self.all(BackendFigures::success_permille))
    }

    fn slow_start_permille(&mut self, of: u32) -> Result<u32> {
        let now = self.now();
        Ok(self.figures(of)?.slow_start_permille(now))
    }

    fn all_slow_start_permille(&mut self) -> Result<Vec<u32>> {
        let now = self.now();
        Ok(self.all(|figures| figures.slow_start_permille(now)))
    }

    fn queued(&mut self, of: u32) -> Result<u32> {
        Ok(self.figures(of)?.queued())
    }

    fn all_queued(&mut self) -> Result<Vec<u32>> {
        Ok(self.all(BackendFigures::queued))
    }

    fn reported_name(&mut self, name: String) -> Result<u32> {
        let place = self.reports.place(&name);
        place.ok_or_else(|| format_err!("more than {REPORTED_MOST} names of reported numbers, or one that is too long"))
    }

    fn reported(&mut self, name: u32, of: u32) -> Result<f64> {
        let now = self.now();
        let figures = self.figures(of)?;
        Ok(if self.live { figures.reported(name, &self.reports, now) } else { f64::NAN })
    }

    fn all_reported(&mut self, name: u32) -> Result<Vec<f64>> {
        let now = self.now();
        let reported = |figures: &BackendFigures| figures.reported(name, &self.reports, now);
        let number = |figures: &BackendFigures| if self.live { reported(figures) } else { f64::NAN };
        Ok(self.figures.iter().map(|figures| number(figures)).collect())
    }

    fn reserve(&mut self, of: u32, limit: u32) -> Result<bool> {
        if self.call != Call::Pick {
            bail!("called figures.reserve in {}: only a pick reserves", self.call);
        }
        let figures = self.figures(of)?;
        if !self.live {
            return Ok(figures.is_below(limit));
        }
        if self.reserved.as_ref().is_some_and(|(at, _)| *at == of) {
            // Its place counts already.
            return Ok(figures.in_flight() <= limit);
        }
        let reservation = Reservation::below(limit, figures);
        let is_reserved = reservation.is_some();
        if let Some(reservation) = reservation {
            self.reserved = Some((of, reservation));
        }
        Ok(is_reserved)
    }
}

impl shared::Host for Data {
    fn counter(&mut self, name: String) -> Result<u32> {
        let handle = self.commons.counters.handle(&name);
        handle.ok_or_else(|| format_err!("more than {COUNTERS_MAX} counters, or a name that is too long"))
    }

    fn add(&mut self, counter: u32, delta: u64) -> Result<u64> {
        self.commons.counters.add(counter, delta).ok_or_else(|| format_err!("no counter has the handle {counter}"))
    }

    fn load(&mut self, counter: u32) -> Result<u64> {
        self.commons.counters.load(counter).ok_or_else(|| format_err!("no counter has the handle {counter}"))
    }

    fn cell(&mut self, slot: u32, of: u32) -> Result<u64> {
        self.row(of)?.get(slot).ok_or_else(|| no_slot(slot))
    }

    fn all_cells(&mut self, slot: u32) -> Result<Vec<u64>> {
        self.rows().iter().map(|row| row.get(slot).ok_or_else(|| no_slot(slot))).collect()
    }

    fn set_cell(&mut self, slot: u32, of: u32, value: u64) -> Result<()> {
        self.row(of)?.set(slot, value).ok_or_else(|| no_slot(slot))
    }

    fn replace_cell(&mut self, slot: u32, of: u32, old: u64, new: u64) -> Result<u64> {
        self.row(of)?.replace(slot, old, new).ok_or_else(|| no_slot(slot))
    }

    fn recall(&mut self, key: u64) -> Result<Option<u64>> {
        Ok(self.commons.table.recall(key))
    }

    fn remember(&mut self, key: u64, value: u64, ttl_ms: u32) -> Result<()> {
        let ttl = (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms.into()));
        self.commons.table.remember(key, value, ttl);
        Ok(())
    }
}

impl log::Host for Data {
    fn write(&mut self, level: log::Level, text: String) -> Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &text);
        Ok(())
    }
}

impl Data {
    /// Only while a request is at hand; an error otherwise.
    fn request(&self, asked: &str) -> Result<&Data> {
        match self.call {
            Call::Pick | Call::OnRequest => Ok(self),
            call => bail!("called request.{asked} in {call}: there is no request outside pick and on-request"),
        }
    }

    /// The cells of the pool's backends, by position.
    fn rows(&mut self) -> &[Arc<Row>] {
        let Data { rows, members, commons, .. } = self;
        rows.get_or_insert_with(|| commons.cells.rows(members.iter().map(|member| member.id), Instant::now()))
    }

    fn row(&mut self, of: u32) -> Result<&Row> {
        let listed = self.members.len();
        let row = self.rows().get(of as usize);
        row.map(|row| &**row)
            .ok_or_else(|| format_err!("asked for a cell of position {of}; the latest update listed {listed}"))
    }

    fn figures(&self, of: u32) -> Result<&Arc<BackendFigures>> {
        self.figures.get(of as usize).ok_or_else(|| {
            format_err!("asked for figures of position {of}; the latest update listed {}", self.figures.len())
        })
    }

    fn all(&self, figure: impl Fn(&BackendFigures) -> u32) -> Vec<u32> {
        self.figures.iter().map(|figures| figure(figures)).collect()
    }
}

fn no_slot(slot: u32) -> wasmtime::Error {
    format_err!("there is no cell {slot}: each backend has {SLOTS}")
}
