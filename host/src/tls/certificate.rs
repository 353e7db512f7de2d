//! One certificate chain with its key: read, and found to be usable.

use crate::{
    config::model::CertificateSource,
    problem::{Code, Problem, Spot},
};
use rustls::{
    Error as TlsError, InconsistentKeys,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

/// A usable certificate chain and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The file it came from, as configured; a description when there is none.
    pub source: String,
    /// DNS names it is for, in lower case; wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// Seconds of the Unix epoch; it is not valid after them.
    pub expires: i64,
    pub(super) key: Arc<CertifiedKey>,
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

impl Certificate {
    /// Whole days until it expires; negative when it has.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        (self.expires - unix_seconds(now)).div_euclid(SECONDS_A_DAY)
    }

    /// Reads and checks one certificate; relative paths start at `base`. An expired one is refused unless `allow_expired`.
    pub fn load(source: &CertificateSource, base: &Path, allow_expired: bool) -> Result<Self, Problem> {
        match source {
            CertificateSource::Memory { cert, key } => {
                let (chain, key) = (File::memory("certificate in memory", cert), File::memory("key in memory", key));
                check(&chain, &key, allow_expired)
            }
            CertificateSource::Files { cert, key, spot } => {
                let chain = File::read(cert, base, spot.as_ref())?;
                let key = File::read(key, base, spot.as_ref())?;
                check(&chain, &key, allow_expired)
            }
        }
    }
}

/// A PEM text, and how to name it to people.
pub(super) struct File<'a> {
    path: PathBuf,
    pub(super) pem: Vec<u8>,
    spot: Option<&'a Spot>,
}

impl<'a> File<'a> {
    pub(super) fn memory(name: &str, pem: &str) -> File<'a> {
        File { path: name.into(), pem: pem.into(), spot: None }
    }

    pub(super) fn read(path: &Path, base: &Path, spot: Option<&'a Spot>) -> Result<File<'a>, Problem> {
        match read(&base.join(path)) {
            Ok(pem) => Ok(File { path: path.into(), pem, spot }),
            Err(error) => {
                let what = match error.kind() {
                    ErrorKind::NotFound => "no such file".to_owned(),
                    ErrorKind::PermissionDenied => "permission denied".to_owned(),
                    _ => error.to_string(),
                };
                let problem = File { path: path.into(), pem: Vec::new(), spot }.unusable(&what);
                let relative = path.is_relative() && !base.as_os_str().is_empty();
                Err(if relative { problem.note(format!("relative to {}", base.display())) } else { problem })
            }
        }
    }

    /// PM0211: it cannot be read, or is not what it should be.
    pub(super) fn unusable(&self, what: &str) -> Problem {
        self.problem(Code::CERTIFICATE_MISSING, format!("{}: {what}", self.path.display()))
    }

    fn problem(&self, code: Code, headline: String) -> Problem {
        let problem = Problem::error(code, headline);
        match self.spot {
            Some(spot) => problem.at(spot.clone(), "named here"),
            None => problem,
        }
    }
}

/// What chains, keys and bundles of authorities stay far below; a file larger than this is another file.
const FILE_MOST: u64 = 4 << 20;

/// All of a file. What is none is not opened: a pipe would have everybody wait, and a device has no end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MOST {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

fn check(chain_file: &File<'_>, key_file: &File<'_>, allow_expired: bool) -> Result<Certificate, Problem> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain_file.pem)
        .collect::<Result<_, _>>()
        .map_err(|e| chain_file.unusable("malformed PEM").detail(e))?;
    let Some(leaf) = chain.first() else { return Err(chain_file.unusable("no certificate inside")) };
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|e| chain_file.unusable("the first certificate is malformed").detail(e))?;
    let names = dns_names(&leaf);
    let not_after = leaf.validity().not_after;

    let key = PrivateKeyDer::from_pem_slice(&key_file.pem)
        .map_err(|e| key_file.unusable("no private key inside").detail(e))?;
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|e| key_file.unusable("the private key is malformed or of an unknown kind").detail(e))?;

    let expired_for = unix_seconds(SystemTime::now()) - not_after.timestamp();
    if expired_for > 0 && !allow_expired {
        return Err(expired(chain_file, expired_for / SECONDS_A_DAY, &not_after.to_datetime().date().to_string()));
    }
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Unknown: the kind of key tells no public half. A handshake would show it.
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(mismatch(chain_file, key_file).detail(error)),
    }
    Ok(Certificate {
        source: chain_file.path.display().to_string(),
        names,
        expires: not_after.timestamp(),
        key: Arc::new(key),
    })
}

fn mismatch(chain: &File<'_>, key: &File<'_>) -> Problem {
    let (chain_path, key_path) = (chain.path.display(), key.path.display());
    key.problem(Code::CERTIFICATE_MISMATCH, format!("{key_path} does not belong to {chain_path} (public keys differ)"))
}

fn expired(chain: &File<'_>, days: i64, date: &str) -> Problem {
    let path = chain.path.display();
    let ago = match days {
        0 => "less than a day ago".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    };
    chain.problem(
        Code::CERTIFICATE_EXPIRED,
        format!("{path} expired {ago} ({date}); `run` continues with --allow-expired"),
    )
}

/// Subject alternative names; the common name only where there are none, as old certificates have it.
fn dns_names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None })
        .collect();
    if alternative.is_some() {
        return names;
    }
    leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_ascii_lowercase).collect()
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Tls;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn pair(names: &[&str], expires: Option<(i32, u8, u8)>) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if let Some((year, month, day)) = expires {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(year, month, day);
        }
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// Loads files of these texts; `None` leaves the file out.
    fn load(cert: Option<&str>, key: Option<&str>, allow_expired: bool) -> Result<Certificate, Problem> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("shop.pem", cert), ("shop.key", key)] {
            if let Some(text) = text {
                std::fs::write(directory.path().join(name), text).unwrap();
            }
        }
        let source = CertificateSource::Files { cert: "shop.pem".into(), key: "shop.key".into(), spot: None };
        Certificate::load(&source, directory.path(), allow_expired)
    }

    fn headline(loaded: Result<Certificate, Problem>) -> String {
        let problem = loaded.expect_err("it should be refused");
        format!("{}: {}", problem.code, problem.headline)
    }

    #[test]
    fn a_good_pair_tells_its_names_and_days() {
        let (cert, key) = pair(&["Shop.example", "*.shop.example"], Some((4000, 1, 1)));
        let certificate = load(Some(&cert), Some(&key), false).unwrap();
        assert_eq!(certificate.names, ["shop.example", "*.shop.example"]);
        let now = UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(certificate.expires).unwrap() - 90_000);
        assert_eq!(certificate.days_left(now), 1);
        assert_eq!(certificate.source, "shop.pem");
    }

    #[test]
    fn each_mistake_has_its_message() {
        let (cert, key) = pair(&["a"], None);
        let (_, other_key) = pair(&["a"], None);
        let (old, old_key) = pair(&["a"], Some((2001, 2, 3)));
        assert_eq!(headline(load(None, Some(&key), false)), "PM0211: shop.pem: no such file");
        assert_eq!(headline(load(Some(&cert), None, false)), "PM0211: shop.key: no such file");
        assert_eq!(headline(load(Some(&key), Some(&key), false)), "PM0211: shop.pem: no certificate inside");
        assert_eq!(headline(load(Some(&cert), Some(&cert), false)), "PM0211: shop.key: no private key inside");
        assert_eq!(
            headline(load(Some(&cert), Some(&other_key), false)),
            "PM0212: shop.key does not belong to shop.pem (public keys differ)"
        );
        let message = headline(load(Some(&old), Some(&old_key), false));
        assert!(message.starts_with("PM0213: shop.pem expired "), "{message}");
        assert!(message.ends_with(" days ago (2001-02-03); `run` continues with --allow-expired"), "{message}");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let (_, key) = pair(&["a"], None);
        let directory = tempfile::tempdir().unwrap();
        let chain = directory.path().join("shop.pem");
        std::fs::write(directory.path().join("shop.key"), key).unwrap();
        let source = CertificateSource::Files { cert: "shop.pem".into(), key: "shop.key".into(), spot: None };
        let load = || headline(Certificate::load(&source, directory.path(), false));
        std::os::unix::fs::symlink("/dev/zero", &chain).unwrap();
        assert_eq!(load(), "PM0211: shop.pem: it is not a file");
        std::fs::remove_file(&chain).unwrap();
        std::fs::File::create(&chain).unwrap().set_len(FILE_MOST + 1).unwrap();
        assert_eq!(load(), "PM0211: shop.pem: it is larger than 4 MiB");
    }

    #[test]
    fn an_expired_certificate_serves_when_allowed() {
        let (old, old_key) = pair(&["a"], Some((2001, 2, 3)));
        assert!(load(Some(&old), Some(&old_key), true).unwrap().days_left(SystemTime::now()) < 0);
    }

    #[test]
    fn a_relative_path_tells_where_it_starts() {
        let source = CertificateSource::Files { cert: "no.pem".into(), key: "no.key".into(), spot: None };
        let problems = super::super::Store::load(&Tls::from(vec![source]), Path::new("/nowhere"));
        assert_eq!(problems.expect_err("refused")[0].notes, ["relative to /nowhere"]);
    }
}
