//! Tells what it sees. A request with `x-look: request` or `x-look: figures` leaves one line in the log; `x-want: NAME`
//! sends the request to the backend of that name, if it is ready; `x-reject: STATUS SECONDS WHY` has it rejected.

use pointsman_sdk::{host::request::Part, prelude::*};

struct Looks;

impl Balancer for Looks {
    type Settings = NoSettings;

    fn new(_: NoSettings, place: &Place) -> Result<Self, String> {
        log::debug(&format!("{} {:?} {}/{}", place.pool, place.zone, place.instance, place.instances));
        Ok(Looks)
    }

    fn update(&mut self, pool: &Pool) {
        for backend in pool.ready().iter().chain(pool.others()) {
            let Backend { name, address, weight, priority, zone, standing, metadata, .. } = backend;
            log::info(&format!("{name} {address} {weight} {priority} {zone:?} {standing:?} {metadata:?}"));
        }
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match request::header("x-look").as_deref() {
            Some(b"request") => log::info(&the_request(turn)),
            Some(b"figures") => log::info(&the_figures(pool)),
            _ => {}
        }
        if let Some(reject) = request::header("x-reject") {
            return rejected(&String::from_utf8_lossy(&reject));
        }
        let wanted = request::header("x-want").unwrap_or_default();
        let at = pool.ready().iter().position(|backend| backend.name.as_bytes() == wanted);
        turn.untried(at.unwrap_or(0) as Position, pool)
    }
}

balancer!(Looks);

fn rejected(words: &str) -> Decision {
    let mut words = words.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (status, seconds) = (number().unwrap_or(500) as u16, number());
    if let Some(why) = words.next() {
        notes::rejection(seconds, why);
    }
    Decision::Reject(status)
}

fn the_request(turn: &Turn) -> String {
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let count = |name: &str| request::headers().iter().filter(|(known, _)| known == name).count();
    let [method, scheme, authority] = [request::method(), request::scheme(), request::authority()];
    let [path, query] = [text(Some(request::path())), text(request::query())];
    let [cookie, tag] = [text(request::cookie("session")), request::tag("mark")];
    let [client, sni, alpn] = [Some(request::client_address()), request::sni(), request::alpn()];
    let shown = request::peer_certificate_sha256().map(|sha256| sha256.iter().map(|b| format!("{b:02x}")).collect::<String>());
    let hashes = [
        request::hash(Part::Header, "x-user", 0),
        request::hash(Part::Query, "q", 7),
        request::hash(Part::Cookie, "session", 0),
        request::hash(Part::Tag, "mark", 0),
        request::hash(Part::Path, "", 0),
        request::hash(Part::Authority, "", 0),
        request::hash(Part::Client, "", 0),
    ];
    format!(
        "{method} {scheme} {authority} {path:?} {query:?} x-many={} {cookie:?} {tag:?} {client:?} {sni:?} {alpn:?} \
         shown={shown:?} {hashes:?} key={:?}",
        count("x-many"),
        turn.key
    )
}

fn the_figures(pool: &Pool) -> String {
    let one = |at: Position| {
        let wait = u64::from(figures::peak_latency_us(at)) * (u64::from(figures::in_flight(at)) + 1);
        assert!(figures::peak_wait_us(at).abs_diff(wait) <= wait / 100, "within what a peak comes down meanwhile");
        let averages = (figures::latency_us(at) > 0, figures::peak_latency_us(at) > 0, figures::success_permille(at));
        (figures::in_flight(at), averages, figures::consecutive_failures(at), figures::age_ms(at) < 3_600_000)
    };
    let each: Vec<_> = (0..pool.len() + pool.others().len() as u32).map(one).collect();
    let all = [figures::all_in_flight(), figures::all_success_permille()];
    let lengths = [figures::all_latency_us().len(), figures::all_peak_latency_us().len()];
    assert!(
        (0..pool.len()).all(|at| figures::slow_start_permille(at) == figures::all_slow_start_permille()[at as usize])
    );
    format!("total {} {each:?} {all:?} {lengths:?}", figures::total_in_flight())
}
