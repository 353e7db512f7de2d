//! All metrics, family by family: what is counted anywhere, under its public name. The manual's page on metrics has a line
//! for each, and a golden file holds the names.

use super::status::StatusSource;
use crate::{
    figures::{Classes, Failure, Figures, Histogram, ListenerCounts, PoolCounts, ProbeCounts, Standing, Undelivered},
    plugin::{FaultKind, Generation, MeterKind, Reading},
    state::Snapshot,
    telemetry::{
        self,
        access_log::AccessLog,
        metrics::{Families, Labels, Rows, Source},
    },
    upstream::{Backend, Pool},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Reads the numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) status: Arc<StatusSource>,
    pub(super) figures: Arc<Figures>,
    pub(super) access_log: Option<Arc<AccessLog>>,
}

/// A count, and what its row says beside the listener or pool.
type Column<T> = (&'static str, fn(&T) -> u64);

impl Source for Numbers {
    fn tell(&self, to: &mut Families<'_>) -> fmt::Result {
        process(&self.status, to)?;
        to.counter("access_log_lines_dropped", "Lines of the access log that could not be written in time", |rows| {
            rows.count(&[], self.access_log.as_ref().map_or(0, |log| log.dropped()))
        })?;
        self.listeners(to)?;
        certificates(&self.status.certificates(), to)?;
        let snapshot = self.status.snapshot();
        pools(&snapshot, to)?;
        backends(&snapshot, to)?;
        let generations = self.status.generations();
        plugins(&generations, to)?;
        custom(&generations, to)
    }
}

fn process(status: &StatusSource, to: &mut Families<'_>) -> fmt::Result {
    to.gauge("info", "Always 1, with the version of this program", |rows| {
        rows.level(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)
    })?;
    to.gauge("uptime_seconds", "Since the process started", |rows| rows.level(&[], status.uptime().as_secs_f64()))?;
    to.gauge("revision", "Number of the snapshot in force; it grows with every change", |rows| {
        rows.level(&[], status.snapshot().revision as f64)
    })?;
    let (applied, refused) = status.reloads();
    to.counter("reloads", "Configurations put in force, or refused, since the start", |rows| {
        rows.count(&[("result", "applied")], applied)?;
        rows.count(&[("result", "refused")], refused)
    })?;
    to.counter("log_lines_dropped", "Lines of the log that nobody read fast enough", |rows| {
        rows.count(&[], telemetry::lines_dropped())
    })
}

impl Numbers {
    fn listeners(&self, to: &mut Families<'_>) -> fmt::Result {
        let listeners = self.status.listeners();
        let each = |rows: &mut Rows<'_>, key: &str, columns: &[Column<ListenerCounts>]| {
            for name in &listeners {
                let counts = self.figures.listener(name);
                for (word, of) in columns {
                    let labels = [("listener", name.as_str()), (key, *word)];
                    rows.count(if key.is_empty() { &labels[..1] } else { &labels }, counts.sum(of))?;
                }
            }
            Ok(())
        };
        to.counter("listener_connections", "Connections taken", |rows| each(rows, "", &[("", |l| l.accepted.get())]))?;
        to.gauge("listener_connections_open", "Connections open now", |rows| {
            for name in &listeners {
                let counts = self.figures.listener(name);
                // Closed first: what opens meanwhile must not make it less than nothing.
                let closed = counts.sum(|l| l.closed.get());
                let open = counts.sum(|l| l.accepted.get()).saturating_sub(closed);
                rows.level(&[("listener", name)], open as f64)?;
            }
            Ok(())
        })?;
        to.counter(
            "listener_connections_refused",
            "Connections closed at the door, for there were too many",
            |rows| each(rows, "", &[("", |l| l.refused.get())]),
        )?;
        to.counter(
            "listener_connections_sent_away",
            "HTTP/2 connections ended with ENHANCE_YOUR_CALM, for their clients sent far too much of what brings nothing",
            |rows| each(rows, "", &[("", |l| l.sent_away.get())]),
        )?;
        to.counter("listener_handshakes", "TLS handshakes by how they went", |rows| {
            let columns: &[Column<ListenerCounts>] = &[
                ("full", |l| l.handshakes_full.get()),
                ("resumed", |l| l.handshakes_resumed.get()),
                ("failed", |l| l.handshakes_failed.get()),
            ];
            each(rows, "result", columns)
        })?;
        to.counter("listener_requests", "Requests by their answer's status; left: the client left before", |rows| {
            for name in &listeners {
                let counts = self.figures.listener(name);
                for (class, word) in Classes::NAMES.into_iter().enumerate() {
                    rows.count(&[("listener", name), ("class", word)], counts.sum(|l| l.answers.get(class)))?;
                }
                rows.count(&[("listener", name), ("class", "left")], counts.sum(|l| l.left.get()))?;
            }
            Ok(())
        })
    }
}

/// By listener, file, and when it ends.
fn certificates(all: &BTreeMap<(String, String), i64>, to: &mut Families<'_>) -> fmt::Result {
    to.gauge("certificate_expiry_timestamp_seconds", "When a certificate ends that clients are shown", |rows| {
        all.iter().try_for_each(|((listener, file), expires)| {
            rows.level(&[("listener", listener), ("certificate", file)], *expires as f64)
        })
    })
}

fn pools(snapshot: &Snapshot, to: &mut Families<'_>) -> fmt::Result {
    let all = || snapshot.pools.iter().map(|assignment| &*assignment.pool);
    to.counter("pool_requests", "Requests by their answer's status, errors answered here among them", |rows| {
        for pool in all() {
            for (class, word) in Classes::NAMES.into_iter().enumerate() {
                rows.count(&[("pool", &pool.name), ("class", word)], pool.figures.sum(|p| p.answers.get(class)))?;
            }
        }
        Ok(())
    })?;
    to.histogram("pool_request_seconds", "From a request's head to its answer's head", |rows| {
        for pool in all() {
            let took = Histogram::together(pool.figures.each().map(|p| &p.took));
            rows.durations(&[("pool", &pool.name)], &took)?;
        }
        Ok(())
    })?;
    let counter = |to: &mut Families<'_>, name, help, of: fn(&PoolCounts) -> u64| {
        to.counter(name, help, |rows| {
            for pool in all() {
                rows.count(&[("pool", &pool.name)], pool.figures.sum(of))?;
            }
            Ok(())
        })
    };
    counter(to, "pool_retries", "Requests sent once more after a backend may have seen them", |p| p.retries.get())?;
    let refused = "Requests not sent once more for want of retry budget";
    counter(to, "pool_retries_refused", refused, |p| p.retries_refused.get())?;
    counter(to, "pool_hedges", "Requests asked of a second backend as well", |p| p.hedges.get())?;
    to.counter("pool_share_corrections", "Picks that went to another backend than was chosen, by the bound", |rows| {
        for pool in all() {
            let columns: [Column<PoolCounts>; 2] =
                [("least", |p| p.share_least.get()), ("most", |p| p.share_most.get())];
            for (bound, of) in columns {
                rows.count(&[("pool", &pool.name), ("bound", bound)], pool.figures.sum(of))?;
            }
        }
        Ok(())
    })?;
    to.counter("pool_probes_sent", "Backends asked how busy they are, for a balancer", |rows| {
        for pool in all() {
            rows.count(&[("pool", &pool.name)], pool.probes.counts().sent)?;
        }
        Ok(())
    })?;
    to.counter("pool_probes", "Probes by what came of them; refused: not sent, for there were enough", |rows| {
        for pool in all() {
            let ProbeCounts { answered, lost, refused, .. } = pool.probes.counts();
            for (result, count) in [("answered", answered), ("lost", lost), ("refused", refused)] {
                rows.count(&[("pool", &pool.name), ("result", result)], count)?;
            }
        }
        Ok(())
    })?;
    to.gauge("pool_queued", "Requests that wait for room", |rows| {
        for pool in all() {
            rows.level(&[("pool", &pool.name)], pool.queued() as f64)?;
        }
        Ok(())
    })?;
    to.counter("pool_failures", "Attempts without an answer, by what happened", |rows| {
        for pool in all() {
            for failure in Failure::ALL {
                let labels = [("pool", &*pool.name), ("kind", failure.as_str())];
                rows.count(&labels, pool.figures.sum(|p| p.failures(failure)))?;
            }
        }
        Ok(())
    })
}

fn backends(snapshot: &Snapshot, to: &mut Families<'_>) -> fmt::Result {
    let each = |rows: &mut Rows<'_>, row: &dyn Fn(&mut Rows<'_>, &Pool, &Backend) -> fmt::Result| {
        let mut pools = snapshot.pools.iter().map(|assignment| &assignment.pool);
        pools.try_for_each(|pool| pool.backends.iter().try_for_each(|backend| row(rows, pool, backend)))
    };
    let counter = |to: &mut Families<'_>, name, help, of: fn(&Backend) -> u64| {
        to.counter(name, help, |rows| {
            each(rows, &|rows, pool, backend| {
                rows.count(&[("pool", &pool.name), ("backend", &backend.name)], of(backend))
            })
        })
    };
    let gauge = |to: &mut Families<'_>, name, help, of: fn(&Backend) -> f64| {
        to.gauge(name, help, |rows| {
            each(rows, &|rows, pool, backend| {
                rows.level(&[("pool", &pool.name), ("backend", &backend.name)], of(backend))
            })
        })
    };
    counter(to, "backend_attempts", "Attempts begun", |b| b.figures.attempts())?;
    counter(to, "backend_failures", "Attempts without an answer below 500", |b| b.figures.failures())?;
    gauge(to, "backend_in_flight", "Attempts under way", |b| f64::from(b.figures.in_flight()))?;
    gauge(to, "backend_latency_seconds", "Time to the first byte of an answer, moving average", |b| {
        f64::from(b.figures.latency_us()) / 1e6
    })?;
    gauge(to, "backend_success_ratio", "Share of attempts answered below 500, moving average", |b| {
        f64::from(b.figures.success_permille()) / 1e3
    })?;
    gauge(to, "backend_weight", "Its share of the work", |b| f64::from(b.weight()))?;
    to.gauge("backend_standing", "1 where it stands, 0 where it does not; only ready ones are chosen", |rows| {
        each(rows, &|rows, pool, backend| {
            Standing::ALL.into_iter().try_for_each(|standing| {
                let labels = [("pool", &*pool.name), ("backend", &*backend.name), ("standing", standing.as_str())];
                rows.level(&labels, f64::from(u8::from(backend.standing() == standing)))
            })
        })
    })
}

fn plugins(generations: &[Arc<Generation>], to: &mut Families<'_>) -> fmt::Result {
    let each = |rows: &mut Rows<'_>, row: &dyn Fn(&mut Rows<'_>, &Generation, Labels<'_>) -> fmt::Result| {
        generations.iter().try_for_each(|generation| {
            let number = generation.number().to_string();
            row(rows, generation, &[("plugin", generation.name()), ("generation", &number)])
        })
    };
    to.counter("plugin_calls", "Picks of a balancer, or requests shown to a filter", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.costs().totals().calls))
    })?;
    to.histogram("plugin_call_seconds", "How long one call in 64 took", |rows| {
        each(rows, &|rows, generation, labels| rows.durations(labels, &generation.costs().durations()))
    })?;
    to.counter("plugin_faults", "Traps, overruns and answers that it may not give", |rows| {
        each(rows, &|rows, generation, labels| {
            let totals = generation.costs().totals();
            by(rows, labels, "kind", FaultKind::ALL.map(|kind| (kind.as_str(), totals.faults_of(kind))))
        })
    })?;
    to.counter("plugin_fallbacks", "Requests decided without it", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.costs().totals().fallbacks))
    })?;
    to.counter("plugin_host_calls", "How often it asked the host for something", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.costs().totals().host_calls))
    })?;
    to.gauge("plugin_memory_bytes", "What its live instances have together", |rows| {
        each(rows, &|rows, generation, labels| rows.level(labels, generation.costs().totals().memory as f64))
    })?;
    to.counter("plugin_attempts", "Attempts chosen by a plugin that wants to hear what becomes of them", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.ledger().tallies().attempts))
    })?;
    to.counter("plugin_outcomes_delivered", "Attempts that it was told the outcome of", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.ledger().tallies().delivered))
    })?;
    to.counter("plugin_outcomes_undelivered", "Attempts that nobody was told the outcome of, by reason", |rows| {
        each(rows, &|rows, generation, labels| {
            let tallies = generation.ledger().tallies();
            by(rows, labels, "reason", Undelivered::ALL.map(|why| (why.as_str(), tallies.undelivered_for(why))))
        })
    })?;
    to.counter(
        "plugin_hand_overs",
        "Instances that were offered their predecessor's state, by what they did",
        |rows| {
            each(rows, &|rows, generation, labels| {
                let (taken, refused) = generation.taken_over();
                by(rows, labels, "result", [("taken", taken), ("refused", refused)])
            })
        },
    )?;
    to.gauge("plugin_quarantined", "1 while it is out of service after repeated faults", |rows| {
        each(rows, &|rows, generation, labels| rows.level(labels, f64::from(u8::from(generation.is_quarantined()))))
    })?;
    to.counter("plugin_log_lines_dropped", "Lines of its log that were dropped", |rows| {
        each(rows, &|rows, generation, labels| rows.count(labels, generation.log().dropped()))
    })
}

/// A row for each of these words, which the last label holds.
fn by<const N: usize>(rows: &mut Rows<'_>, labels: Labels<'_>, key: &str, counts: [(&str, u64); N]) -> fmt::Result {
    counts.into_iter().try_for_each(|(word, count)| {
        let labels: Vec<_> = labels.iter().copied().chain([(key, word)]).collect();
        rows.count(&labels, count)
    })
}

/// What plugins count of their own, each plugin's once whatever generations it has.
fn custom(generations: &[Arc<Generation>], to: &mut Families<'_>) -> fmt::Result {
    type OfPool<'a> = (&'a str, Arc<str>, Reading);
    let plugins: BTreeMap<&str, &Arc<Generation>> = generations.iter().map(|it| (&**it.name(), it)).collect();
    let mut families: BTreeMap<String, Vec<OfPool<'_>>> = BTreeMap::new();
    for (name, generation) in plugins {
        for (pool, readings) in generation.readings() {
            for reading in readings {
                let family = format!("custom_{}_{}", name.replace('-', "_"), reading.name);
                families.entry(family).or_default().push((name, pool.clone(), reading));
            }
        }
    }
    for (family, mut rows) in families {
        let Some((_, _, first)) = rows.first() else { continue };
        let (kind, help) = (first.kind, first.help.clone());
        // A family is of one kind; where two generations do not agree, the first one has it.
        rows.retain(|(_, _, reading)| reading.kind == kind);
        let each = |to: &mut Rows<'_>, row: &dyn Fn(&mut Rows<'_>, Labels<'_>, &Reading) -> fmt::Result| {
            rows.iter().try_for_each(|(plugin, pool, reading)| row(to, &[("plugin", plugin), ("pool", pool)], reading))
        };
        match kind {
            MeterKind::Counter => {
                to.counter(&family, &help, |to| each(to, &|to, labels, reading| to.sum(labels, reading.value)))?;
            }
            MeterKind::Gauge => {
                to.gauge(&family, &help, |to| each(to, &|to, labels, reading| to.level(labels, reading.value)))?;
            }
            MeterKind::Histogram => {
                to.histogram(&family, &help, |to| {
                    each(to, &|to, labels, reading| to.durations(labels, &reading.sizes))
                })?;
            }
        }
    }
    Ok(())
}
