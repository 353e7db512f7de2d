//! Every code there is: its name in the source, its title, and the page of the manual that explains it.

use std::fmt;

/// The number that `pointsman explain` and the manual know, such as `PM0301`. Nobody makes one: they are the constants
/// below, so that each has its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PM{:04}", self.0)
    }
}

/// What is known of a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// In a few words.
    pub title: &'static str,
    /// The long form, in Markdown.
    pub page: &'static str,
}

impl Code {
    /// The code of a number as people write it: `PM0301`, `pm301` or `301`.
    pub fn parse(text: &str) -> Option<Code> {
        let text = text.trim();
        let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("pm")).map_or(text, |_| &text[2..]);
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        Some(Code(number)).filter(|code| code.entry().is_some())
    }

    /// Without `PM` and zeros.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Title and page; none for a number that nobody uses.
    pub fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.code == self)
    }
}

/// One line a code: a constant on [`Code`], and its entry. A code without a page does not compile.
macro_rules! codes {
    ($($name:ident $number:literal $page:literal $title:literal)*) => {
        impl Code {
            $(#[doc = concat!("`", $page, "`: ", $title, ".")]
            pub const $name: Code = Code($number);)*
        }

        /// All codes, in the order of their numbers.
        pub const ENTRIES: &[Entry] = &[$(Entry {
            code: Code::$name,
            title: $title,
            page: include_str!(concat!("../../manual/codes/", $page, ".md")),
        }),*];
    };
}

codes! {
    UNKNOWN_KEY          101 "PM0101" "unknown key in the configuration"
    BAD_VALUE            102 "PM0102" "a value in the configuration is missing or not what it should be"
    UNDEFINED            103 "PM0103" "the configuration uses a name that it does not define"
    NO_CONFIGURATION     104 "PM0104" "the configuration file cannot be read"
    AT_NEXT_START        105 "PM0105" "a change in the configuration takes effect at the next start"
    ADDRESS_TAKEN        201 "PM0201" "an address cannot be listened on, mostly because it is in use"
    ADDRESS_DENIED       202 "PM0202" "an address may not be listened on"
    START_FAILED         203 "PM0203" "the system refuses what is needed to start"
    CERTIFICATE_MISSING  211 "PM0211" "a certificate or key file is missing or unreadable"
    CERTIFICATE_MISMATCH 212 "PM0212" "a key does not belong to its certificate"
    CERTIFICATE_EXPIRED  213 "PM0213" "a certificate has expired"
    CERTIFICATE_EXPIRES  214 "PM0214" "a certificate expires soon"
    NOT_A_COMPONENT      301 "PM0301" "a plugin file is not a WebAssembly component"
    WRONG_VERSION        302 "PM0302" "a plugin was built for another version of the contract"
    MISSING_EXPORT       303 "PM0303" "a plugin exports nothing that Pointsman can call"
    FORBIDDEN_IMPORT     304 "PM0304" "a plugin imports what plugins are not given"
    SETTINGS_REFUSED     305 "PM0305" "a plugin refused its settings"
    LOAD_FAULT           306 "PM0306" "a plugin trapped or overran while it was admitted"
    NOT_OFFERED          307 "PM0307" "a plugin asks for something this host does not offer, or is of the wrong kind"
    UNREADABLE           308 "PM0308" "a plugin file is unreadable or too large"
    NO_SUCH_PLUGIN       309 "PM0309" "no plugin of this name, neither as a file nor embedded"
    NO_ENGINE            310 "PM0310" "the engine that runs plugins does not start"
    STILL_CHANGING       311 "PM0311" "a plugin file is still being written"
    NOT_SETTLED          312 "PM0312" "a plugin file has not settled for a long time"
    WATCH_LOST           313 "PM0313" "events of the plugin directory were lost"
    WATCH_LIMIT          314 "PM0314" "the plugin directory is polled, for it cannot be watched"
    PLUGIN_REMOVED       315 "PM0315" "the file of a serving plugin was removed"
    TRAPPED              401 "PM0401" "a plugin trapped while it served"
    OVERRAN              402 "PM0402" "a plugin used up its time"
    BAD_ANSWER           403 "PM0403" "a plugin gave an answer that it may not give"
    HELD_BACK            404 "PM0404" "a plugin's file is held back, and an earlier generation serves"
    NOT_STEERED          405 "PM0405" "a plugin cannot be rolled back, pinned or unpinned as asked"
    NO_BACKEND           501 "PM0501" "no backend of a pool is ready"
    NO_ROOM              502 "PM0502" "a pool has as many requests as it may have, and more wait than may"
    OVERLOADED           503 "PM0503" "as many requests are under way as `server.requests` allows"
    NAME_NOT_FOUND       504 "PM0504" "a name of backends cannot be looked up"
    ADMIN_UNREACHABLE    601 "PM0601" "no Pointsman answers on the admin address"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_headed_by_its_code_and_says_what_to_do() {
        for entry in ENTRIES {
            let heading = format!("# {}: ", entry.code);
            assert!(entry.page.starts_with(&heading), "{} begins with {:?}", entry.code, entry.page.lines().next());
            assert!(entry.page.contains("\n## What to do\n"), "{} says no remedy", entry.code);
        }
    }

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for text in ["PM0301", "pm0301", "PM301", "301", " 0301 "] {
            assert_eq!(Code::parse(text), Some(Code::NOT_A_COMPONENT), "{text}");
        }
        for text in ["", "PM", "PM9999", "E0301", "+301", "PM+301", "é1", "99999999999"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
    }
}
