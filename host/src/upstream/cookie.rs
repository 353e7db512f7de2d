//! The cookie that binds a client to a backend: which one it is, signed so that nobody can make one up. What was not signed
//! here, or for another pool, says nothing.

use crate::{
    config::model::{self, SameSite, Secret, Secrets},
    problem::{Code, Problem},
};
use aws_lc_rs::{constant_time, hmac, rand};
use http::HeaderValue;
use std::{fmt::Write, fs, path::Path, sync::OnceLock};

/// Bytes of a backend's id.
const ID: usize = size_of::<u64>();
/// Bytes of a signature that travel: as many as nobody can guess.
const SIGNATURE: usize = 16;
/// Sets what is signed here apart from what else may be signed with the same secret.
const PURPOSE: &[u8] = b"pointsman sticky cookie 1\0";
/// A file of secrets that is larger is none.
const FILE_MOST: u64 = 64 << 10;

/// A pool's cookie.
#[derive(Debug)]
pub struct Cookie {
    /// Which pool it is for.
    pool: Box<str>,
    name: Box<str>,
    /// What follows the value, but for `Secure`.
    attributes: Box<str>,
    secure: Option<bool>,
    secrets: Vec<Secret>,
    /// The first signs.
    keys: Vec<hmac::Key>,
}

impl PartialEq for Cookie {
    fn eq(&self, other: &Cookie) -> bool {
        let all = |it: &Cookie| (it.pool.clone(), it.name.clone(), it.attributes.clone(), it.secure);
        all(self) == all(other) && self.secrets == other.secrets
    }
}

impl Cookie {
    /// Reads the file of secrets, if one is named. PM0102 when it is not there, or has none.
    pub(super) fn new(pool: &str, config: &model::Cookie) -> Result<Cookie, Problem> {
        let secrets = match &config.secrets {
            Secrets::Chance => vec![chance(pool)?],
            Secrets::Written(secrets) => secrets.clone(),
            Secrets::File { path, spot } => read(path).map_err(|why| {
                let headline = format!("{}: {why}", path.display());
                let problem = Problem::error(Code::BAD_VALUE, headline);
                let problem = problem
                    .note("it has a secret in each line, such as `openssl rand -hex 32` prints; the first signs");
                spot.iter().fold(problem, |problem, spot| problem.at(spot.clone(), "named here"))
            })?,
        };
        let same_site = match config.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        let age = config.ttl.map_or_else(String::new, |ttl| format!("; Max-Age={}", ttl.as_secs().max(1)));
        Ok(Cookie {
            pool: pool.into(),
            name: config.name.as_str().into(),
            attributes: format!("; Path={}; HttpOnly; SameSite={same_site}{age}", config.path).into(),
            secure: config.secure,
            keys: secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret.0)).collect(),
            secrets,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the backend that it names; none when it was not signed here.
    pub fn read(&self, value: &[u8]) -> Option<u64> {
        let (id, signature) = value.split_at_checked(2 * ID)?;
        let id = u64::from_be_bytes(bytes(id)?);
        let signature: [u8; SIGNATURE] = bytes(signature)?;
        let signed = |key: &hmac::Key| {
            let right = self.sign(key, id);
            constant_time::verify_slices_are_equal(&right.as_ref()[..SIGNATURE], &signature).is_ok()
        };
        self.keys.iter().any(signed).then_some(id)
    }

    /// The header that binds a client to this backend. `is_tls`: how the client came.
    pub fn bind(&self, id: u64, is_tls: bool) -> Option<HeaderValue> {
        let mut line = format!("{}={id:016x}", self.name);
        for byte in &self.sign(self.keys.first()?, id).as_ref()[..SIGNATURE] {
            // Writing to a text does not fail.
            let _ = write!(line, "{byte:02x}");
        }
        line.push_str(&self.attributes);
        if self.secure.unwrap_or(is_tls) {
            line.push_str("; Secure");
        }
        HeaderValue::try_from(line).ok()
    }

    fn sign(&self, key: &hmac::Key, id: u64) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(key);
        for part in [PURPOSE, &id.to_be_bytes(), self.pool.as_bytes()] {
            signing.update(part);
        }
        signing.sign()
    }
}

/// Digits as bytes, if they are that many and in lower case.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: u8| Some(char::from(at).to_digit(16)? as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// One for the whole process: a reload keeps it.
fn chance(pool: &str) -> Result<Secret, Problem> {
    static SECRET: OnceLock<Secret> = OnceLock::new();
    if let Some(known) = SECRET.get() {
        return Ok(known.clone());
    }
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| {
        Problem::error(Code::START_FAILED, format!("pool {pool}: the system gives no random bytes for a secret"))
            .note("write `secret` into the pool's `cookie`")
    })?;
    Ok(SECRET.get_or_init(|| Secret(secret.into())).clone())
}

/// The lines of a file that are not empty.
fn read(path: &Path) -> Result<Vec<Secret>, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?;
    if !size.is_file() || size.len() > FILE_MOST {
        return Err(format!("it is no file of at most {} KiB", FILE_MOST >> 10));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let secrets: Vec<Secret> = lines.map(|line| Secret(line.into())).collect();
    match secrets.iter().any(|secret| secret.0.len() < Secret::LEAST) {
        true => Err(format!("a secret in it has less than {} bytes", Secret::LEAST)),
        false if secrets.is_empty() => Err("there is no secret in it".into()),
        false => Ok(secrets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn cookie(pool: &str, secrets: &[&[u8]]) -> Cookie {
        let secrets = Secrets::Written(secrets.iter().map(|secret| Secret((*secret).into())).collect());
        Cookie::new(pool, &model::Cookie { secrets, ..model::Cookie::new("at") }).unwrap()
    }

    fn value(cookie: &Cookie, id: u64) -> Vec<u8> {
        let line = cookie.bind(id, false).unwrap();
        let value = line.to_str().unwrap().strip_prefix("at=").unwrap().split(';').next().unwrap();
        value.as_bytes().to_vec()
    }

    #[test]
    fn what_was_signed_is_believed_and_nothing_else() {
        let ours = cookie("shop", &[b"0123456789abcdef"]);
        let signed = value(&ours, 7);
        assert_eq!(ours.read(&signed), Some(7));
        assert_eq!(cookie("cart", &[b"0123456789abcdef"]).read(&signed), None, "another pool");
        assert_eq!(cookie("shop", &[b"0123456789abcdeg"]).read(&signed), None, "another secret");
        for at in 0..signed.len() {
            let mut forged = signed.clone();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(ours.read(&forged), None, "{at}");
        }
        let (short, long) = (signed[..signed.len() - 1].to_vec(), [&signed[..], b"0"].concat());
        for foreign in [&b""[..], b"7", &short, &long, &signed.to_ascii_uppercase(), &[0xff; 48]] {
            assert_eq!(ours.read(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_secret_that_was_replaced_is_believed_until_it_is_left_out() {
        let (old, new): (&[u8], &[u8]) = (b"old-old-old-old-", b"new-new-new-new-");
        let before = value(&cookie("shop", &[old]), 7);
        let both = cookie("shop", &[new, old]);
        assert_eq!(both.read(&before), Some(7));
        assert_eq!(cookie("shop", &[new]).read(&before), None);
        assert_eq!(cookie("shop", &[new]).read(&value(&both, 7)), Some(7), "the first one signs");
    }

    #[test]
    fn what_browsers_are_told() {
        let line = |change: fn(&mut model::Cookie), is_tls| {
            let mut config = model::Cookie::new("at");
            change(&mut config);
            let line = Cookie::new("shop", &config).unwrap().bind(7, is_tls).unwrap();
            line.to_str().unwrap().split_once(';').unwrap().1.to_owned()
        };
        assert_eq!(line(|_| {}, false), " Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(line(|_| {}, true), " Path=/; HttpOnly; SameSite=Lax; Secure");
        let more = |config: &mut model::Cookie| {
            (config.path, config.ttl, config.secure) = ("/cart".into(), Some(Duration::from_secs(90)), Some(true));
        };
        assert_eq!(line(more, false), " Path=/cart; HttpOnly; SameSite=Lax; Max-Age=90; Secure");
        assert_eq!(line(|config| config.secure = Some(false), true), " Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_file_has_a_secret_in_each_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            let secrets = Secrets::File { path: file.path().into(), spot: None };
            Cookie::new("shop", &model::Cookie { secrets, ..model::Cookie::new("at") })
        };
        let written = cookie("shop", &[b"new-new-new-new-", b"old-old-old-old-"]);
        assert_eq!(read("new-new-new-new-\r\n\nold-old-old-old-\n").unwrap(), written);
        assert!(read("\n").unwrap_err().headline.ends_with("there is no secret in it"));
        assert!(read("new-new-new-new-\nold").unwrap_err().headline.ends_with("less than 16 bytes"));
        drop(read("x"));
        let gone = Secrets::File { path: "/nowhere/key".into(), spot: None };
        let gone = Cookie::new("shop", &model::Cookie { secrets: gone, ..model::Cookie::new("at") });
        assert!(gone.unwrap_err().headline.starts_with("/nowhere/key: "));
    }

    #[test]
    fn without_a_secret_there_is_one_for_the_process() {
        let made = || Cookie::new("shop", &model::Cookie::new("at")).unwrap();
        assert_eq!(made().read(&value(&made(), 7)), Some(7));
    }
}
