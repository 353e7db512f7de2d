//! All that changes while the process serves goes through here: one thread, one queue, one writer of the snapshot. What is
//! refused leaves everything as it is; what is taken is taken whole. A certificate's new file is the same: the configuration
//! in force is taken once more.

use super::{
    Source,
    checks::Checks,
    doors::{Doors, Published},
    names::Answers,
    status::StatusSource,
};
use crate::{
    admin::api,
    config::{
        changeable, diff,
        model::{CertificateSource, Config, Roots, Secrets},
    },
    figures::Figures,
    plugin::loader::News,
    problem::{Code, Problem, Report, Style, render},
    server::{Opener, Porter},
    state::{Applier, Steer, Steered},
    upstream::names::{Names, News as NameNews},
};
use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

/// How long a listener that is no more has its routes, unless its connections end sooner. What may still come is the rest of
/// a head that had begun.
const CLOSING_MOST: Duration = Duration::from_secs(30);
/// Names that are taken in at one time.
const NAMES_MOST: usize = 256;
/// A certificate that has fewer days left is warned of, once a day.
const DAYS_TO_WARN: i64 = 14;

/// What comes in.
#[derive(Debug)]
pub(super) enum Change {
    /// What became of a plugin's file.
    Plugin(Box<News>),
    /// A generation was quarantined.
    Quarantine,
    /// An operator wants something of a plugin.
    Steer(Arc<str>, Steer, oneshot::Sender<Result<Steered, Problem>>),
    /// The configuration is to be read again, and all certificates with it.
    Configuration(Asked),
    /// A certificate's file may be another one.
    Certificates,
    /// A name of backends was looked up.
    Name(NameNews),
    /// The last connection of a listener that is no more has ended, or no request comes on it.
    Closed(usize),
}

/// Who wants the configuration read again.
#[derive(Debug)]
pub(super) enum Asked {
    /// Its file may have changed. Nothing is said when it has not.
    File,
    /// An operator, who reads the log.
    Signal,
    /// An operator, who waits.
    Call(oneshot::Sender<api::Reload>),
}

/// What came of taking a configuration in.
struct Taken {
    /// What is other, in words.
    changes: Vec<String>,
    /// What has to wait for the next start.
    warnings: Vec<Problem>,
    /// What is wrong with files, where what was read before goes on.
    stale: Vec<Problem>,
}

/// Takes changes in, one after the other.
#[derive(Debug)]
pub(super) struct Conductor {
    /// None: the configuration came from no file.
    pub source: Option<Source>,
    /// In force, as it was written.
    pub config: Config,
    /// Why the file as it is now is not in force; empty when it is.
    pub refused: Vec<Problem>,
    /// What the refused file says, if that can be read: what it lacks may come.
    pub wanted: Option<Config>,
    /// What is amiss with certificates.
    pub amiss: Vec<Problem>,
    pub allow_expired: bool,
    pub applier: Applier,
    pub figures: Arc<Figures>,
    pub doors: Doors,
    pub opener: Opener,
    pub checks: Checks,
    /// What is known of the names of backends.
    pub answers: Answers,
    pub names: Names,
    /// What was told of them last.
    pub unnamed: Vec<Problem>,
    pub status: Arc<StatusSource>,
    /// Files that are to be followed.
    pub files: watch::Sender<Vec<PathBuf>>,
    /// To itself.
    pub changes: mpsc::WeakSender<Change>,
    pub side: Handle,
}

impl Conductor {
    /// Goes on until nobody is left who could ask for a change. Blocking: a thread of its own.
    pub(super) fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        let mut ahead = None;
        while let Some(change) = ahead.take().or_else(|| changes.blocking_recv()) {
            match change {
                Change::Plugin(news) => {
                    let is_new = matches!(*news, News::Compiled(_));
                    self.applier.apply(*news);
                    // What was refused for want of a plugin may be right now.
                    if is_new && !self.refused.is_empty() {
                        self.reload(false);
                    }
                }
                Change::Quarantine => self.applier.recover(),
                Change::Steer(name, steer, answer) => {
                    // Who has left meanwhile finds it in the log and in `status`.
                    let _ = answer.send(self.applier.steer(&name, &steer));
                }
                Change::Configuration(Asked::File) => drop(self.reload(false)),
                Change::Configuration(Asked::Signal) => drop(self.reload(true)),
                Change::Configuration(Asked::Call(answer)) => {
                    // Who has left meanwhile finds it in the log and in `status`.
                    let _ = answer.send(self.reload(true));
                }
                Change::Certificates => self.renew(),
                Change::Closed(listener) => {
                    self.applier.closed(listener);
                    self.doors.closed(listener);
                }
                Change::Name(first) => {
                    let (news, next) = with_those_that_wait(first, &mut changes);
                    ahead = next;
                    self.learn(news);
                }
            }
        }
    }

    /// Says what there is at the start.
    pub(super) fn begin(&mut self) {
        if let Some(source) = &self.source {
            let file = source.file.display().to_string();
            self.status.shown().configuration =
                Some(api::Configuration { file, since_unix: unix_now(), ..api::Configuration::default() });
        }
        self.names.follow(self.answers.followed(), self.config.server.resolver);
        self.tell_of_names(self.answers.problems());
        self.tell_amiss(Vec::new());
        self.show();
    }

    /// Reads the file and takes it whole, or not at all. `asked`: somebody wants to hear of it in any case.
    fn reload(&mut self, asked: bool) -> api::Reload {
        let Some(source) = self.source.clone() else {
            let problem =
                Problem::error(Code::NO_CONFIGURATION, "this Pointsman was started without a configuration file");
            return api::Reload {
                outcome: "refused".into(),
                refusal: Some(refusal(&[problem])),
                ..api::Reload::default()
            };
        };
        let file = source.file.display().to_string();
        self.wanted = None;
        let taken = source.read().and_then(|config| {
            let config = config.allowing_expired(self.allow_expired);
            self.take(config.clone()).inspect_err(|_| self.wanted = Some(config))
        });
        let (outcome, changes, warnings) = match taken {
            Ok(Taken { changes, mut warnings, stale }) => {
                let was_refused = !std::mem::take(&mut self.refused).is_empty();
                self.accepted(&file, &changes, &warnings, asked || was_refused);
                warnings.extend(stale.iter().cloned());
                self.tell_amiss(stale);
                (if changes.is_empty() { "unchanged" } else { "applied" }, changes, warnings)
            }
            Err(problems) => {
                self.refuse(&file, problems, asked);
                ("refused", Vec::new(), Vec::new())
            }
        };
        self.show();
        api::Reload {
            outcome: outcome.into(),
            file,
            revision: self.applier.cell().revision(),
            changes,
            warnings: warnings.iter().map(Report::from).collect(),
            refusal: self.status.shown().configuration.as_ref().and_then(|shown| shown.refusal.clone()),
        }
    }

    /// Puts another configuration in force; or the same, with what its files hold now. First everything is made that can be
    /// refused, then nothing is.
    fn take(&mut self, next: Config) -> Result<Taken, Vec<Problem>> {
        let mut diff = diff(&self.config, &next);
        let next = changeable(&self.config, next);
        let (doors, mut problems) = self.doors.stage(&next);
        let answers = self.answers.of(&next, &self.side);
        let plan = match self.applier.plan().successor(&answers.expand(&next), &doors.listeners(), &self.figures) {
            Ok(plan) => plan,
            Err(of_pools) => {
                problems.extend(of_pools);
                return Err(problems);
            }
        };
        let pools: Vec<_> = plan.pools.iter().map(|plan| plan.pool.clone()).collect();
        let stale = doors.stale().chain(&plan.stale).cloned().collect();
        diff.changes.extend(doors.renewed().map(|name| format!("listener {name}: other certificates")));
        let renewed = plan.renewed(self.applier.plan());
        diff.changes.extend(renewed.map(|name| format!("pool {name}: other certificates")));
        let staged = match self.applier.stage(plan) {
            Ok(staged) if problems.is_empty() => staged,
            Ok(_) => return Err(problems),
            Err(of_plugins) => {
                problems.extend(of_plugins);
                return Err(problems);
            }
        };
        let is_same = self.config == next;
        if !is_same || !diff.changes.is_empty() {
            if diff.changes.is_empty() {
                diff.changes.push("other keys changed".into());
            }
            self.checks.first_round(&pools);
            // Routes and rules at once, for all connections; new listeners are opened after their routes are there.
            self.applier.publish(staged);
            let Published { closing, warnings } = self.doors.publish(doors, |listener| {
                let address = listener.sockets.address().to_string();
                diff.warnings.extend(self.opener.open(listener).err().map(|error| not_by_all(&address, &error)));
            });
            diff.warnings.extend(warnings);
            closing.into_iter().for_each(|porter| self.forget_when_closed(porter));
            self.checks.follow(&pools);
            self.figures.forget_unused();
            // What the system refused is other than the file still, and so it is tried again.
            self.config = Config { listeners: self.doors.configs().cloned().collect(), ..next };
            self.answers = answers;
            self.names.follow(self.answers.followed(), self.config.server.resolver);
        }
        Ok(Taken { changes: diff.changes, warnings: diff.warnings, stale })
    }

    /// What still comes on connections of a listener that is no more is served as before, for a while.
    fn forget_when_closed(&self, porter: Arc<Porter>) {
        let changes = self.changes.clone();
        self.side.spawn(async move {
            porter.closed(CLOSING_MOST).await;
            if let Some(changes) = changes.upgrade() {
                // An error: the process ends.
                let _ = changes.send(Change::Closed(porter.entrance().number)).await;
            }
        });
    }

    fn accepted(&mut self, file: &str, changes: &[String], warnings: &[Problem], asked: bool) {
        if !changes.is_empty() {
            tracing::info!("{file} reloaded, revision {}: {}", self.applier.cell().revision(), changes.join("; "));
        } else if asked {
            tracing::info!("{file} read again: nothing is other");
        }
        if !changes.is_empty() || asked {
            warnings.iter().for_each(Problem::log);
        }
        if let Some(shown) = &mut self.status.shown().configuration {
            shown.reloads += u64::from(!changes.is_empty());
            if !changes.is_empty() {
                shown.since_unix = unix_now();
            }
            shown.refusal = None;
            shown.warnings = warnings.iter().map(Report::from).collect();
        }
        self.tell_of_names(self.answers.problems());
    }

    /// Other addresses are other members of pools; all else stays. What cannot be done now is tried again when the name is
    /// looked up the next time.
    fn learn(&mut self, news: Vec<NameNews>) {
        let before = self.answers.clone();
        let mut problems = Vec::new();
        // Each is learnt, whatever came of those before.
        let is_other = news.into_iter().fold(false, |is_other, news| self.answers.learn(news) | is_other);
        if is_other && let Err(refused) = self.move_members(&before) {
            self.answers = before;
            problems = refused;
        }
        problems.extend(self.answers.problems());
        if problems != self.unnamed {
            self.tell_of_names(problems);
            self.show();
        }
    }

    /// Each problem is told once, while it lasts.
    fn tell_of_names(&mut self, problems: Vec<Problem>) {
        problems.iter().filter(|problem| !self.unnamed.contains(problem)).for_each(Problem::log);
        self.unnamed = problems;
    }

    /// Has pools have the addresses that names stand for now; `before`: those that they have.
    fn move_members(&mut self, before: &Answers) -> Result<(), Vec<Problem>> {
        let (before, now) = (before.expand(&self.config), self.answers.expand(&self.config));
        let plan = self.applier.plan().successor(&now, &self.doors.listeners(), &self.figures)?;
        let pools: Vec<_> = plan.pools.iter().map(|plan| plan.pool.clone()).collect();
        let staged = self.applier.stage(plan)?;
        self.checks.first_round(&pools);
        self.applier.publish(staged);
        self.checks.follow(&pools);
        self.figures.forget_unused();
        tracing::info!("names stand for other addresses: {}", diff(&before, &now).changes.join("; "));
        Ok(())
    }

    /// The same refusal is told once, unless somebody asks.
    fn refuse(&mut self, file: &str, problems: Vec<Problem>, asked: bool) {
        if asked || self.refused != problems {
            problems.iter().for_each(Problem::log);
            tracing::error!("{file} is refused as it is now; the configuration before goes on serving");
        }
        if let Some(shown) = &mut self.status.shown().configuration {
            // Looked at again for something that came, it is the same refusal.
            shown.refusals += u64::from(asked || self.refused != problems);
            shown.refusal = Some(refusal(&problems));
        }
        self.refused = problems;
        // Those that were made for it.
        self.figures.forget_unused();
    }

    /// Takes in what files of certificates hold now. Half a pair, or one that is no good, leaves the one before in force;
    /// when the other half comes, this is asked again. A file that was refused may be right now.
    fn renew(&mut self) {
        if !self.refused.is_empty() {
            self.reload(false);
        }
        match self.take(self.config.clone()) {
            Ok(taken) => {
                taken.changes.iter().for_each(|change| tracing::info!("{change}, shown from now on"));
                self.tell_amiss(taken.stale);
            }
            // The system gives no random bytes or threads.
            Err(problems) => problems.iter().for_each(Problem::log),
        }
        self.show();
    }

    /// Tells what is wrong with files of certificates, and which of those in force end soon; what is no news is not told
    /// again.
    fn tell_amiss(&mut self, stale: Vec<Problem>) {
        let amiss: Vec<_> = stale.into_iter().chain(self.expiring()).collect();
        amiss.iter().filter(|problem| !self.amiss.contains(problem)).for_each(Problem::log);
        self.amiss = amiss;
    }

    /// Certificates that end soon. The days are in the text, so that it is news each day.
    fn expiring(&self) -> Vec<Problem> {
        let all = self.doors.told().into_iter().flat_map(|listener| listener.certificates);
        let soon = all.filter(|certificate| (0..DAYS_TO_WARN).contains(&certificate.days_left));
        let mut problems: Vec<Problem> = Vec::new();
        for certificate in soon {
            let headline = format!("{} expires in {} days", certificate.source, certificate.days_left);
            let problem = Problem::warning(Code::CERTIFICATE_EXPIRES, headline);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Brings to people, and to who follows files, what is in force.
    fn show(&mut self) {
        let mut shown = self.status.shown();
        shown.listeners = self.doors.told();
        shown.addresses = self.doors.names_and_addresses();
        shown.drain = self.config.server.drain;
        shown.amiss = self.amiss.iter().chain(&self.unnamed).map(Report::from).collect();
        drop(shown);
        let mut files: Vec<_> = std::iter::once(&self.config).chain(&self.wanted).flat_map(files).collect();
        files.sort();
        files.dedup();
        self.files.send_if_modified(|followed| {
            let other = *followed != files;
            *followed = files;
            other
        });
    }
}

/// What was looked up with what waits right behind it, and the change that comes next, if one was found. Names that change
/// together are one change: the checks of new backends take a while, and everybody else waits for it.
fn with_those_that_wait(first: NameNews, changes: &mut mpsc::Receiver<Change>) -> (Vec<NameNews>, Option<Change>) {
    let mut news = vec![first];
    while news.len() < NAMES_MOST {
        match changes.try_recv() {
            Ok(Change::Name(next)) => news.push(next),
            Ok(other) => return (news, Some(other)),
            Err(_) => break,
        }
    }
    (news, None)
}

/// Files that a configuration names for what is in them: certificates, keys, those who vouch, and secrets.
fn files(config: &Config) -> Vec<PathBuf> {
    let of_pair = |source: &CertificateSource| match source {
        CertificateSource::Files { cert, key, .. } => vec![cert.clone(), key.clone()],
        CertificateSource::Memory { .. } => Vec::new(),
    };
    let mut files = Vec::new();
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        files.extend(tls.certificates.iter().flat_map(of_pair));
        files.extend(tls.clients.values().map(|rule| rule.ca.clone()));
    }
    for tls in config.pools.iter().filter_map(|pool| pool.tls.as_ref()) {
        files.extend(tls.identity.iter().flat_map(of_pair));
        if let Roots::File { path, .. } = &tls.roots {
            files.push(path.clone());
        }
    }
    for cookie in config.pools.iter().filter_map(|pool| pool.cookie.as_ref()) {
        if let Secrets::File { path, .. } = &cookie.secrets {
            files.push(path.clone());
        }
    }
    files
}

/// What was bound before anything changed is all but never refused to a worker.
fn not_by_all(address: &str, error: &io::Error) -> Problem {
    let headline = format!("{address} is not served by all workers: the system refuses what is needed: {error}");
    Problem::warning(Code::START_FAILED, headline)
}

fn refusal(problems: &[Problem]) -> api::Refusal {
    api::Refusal {
        at_unix: unix_now(),
        problems: problems.iter().map(Report::from).collect(),
        text: problems.iter().map(|problem| render(problem, Style::default())).collect(),
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Lookup;

    #[test]
    fn names_that_wait_together_are_taken_together_and_what_comes_between_keeps_its_place() {
        let (sends, mut changes) = mpsc::channel(8);
        let news = |name: &str| NameNews { lookup: Lookup::Service(name.into()), answer: Err("nobody knows".into()) };
        let name = |news: &NameNews| news.lookup.name().to_owned();
        for change in [Change::Name(news("b")), Change::Closed(7), Change::Name(news("c"))] {
            sends.try_send(change).unwrap();
        }
        let (taken, next) = with_those_that_wait(news("a"), &mut changes);
        assert_eq!(taken.iter().map(name).collect::<Vec<_>>(), ["a", "b"]);
        assert!(matches!(next, Some(Change::Closed(7))), "{next:?}");
        let (taken, next) = with_those_that_wait(news("d"), &mut changes);
        assert_eq!(taken.iter().map(name).collect::<Vec<_>>(), ["d", "c"]);
        assert!(next.is_none());
    }
}
