//! What a plugin says about itself, for people.

use super::{Call, Compiled, Fault, Runtime, admission::scratch, sandbox::Sandbox};

/// How much of one text is shown, in characters.
const TEXT_MOST: usize = 300;
/// How many settings are.
const SETTINGS_MOST: usize = 64;

/// What a plugin is for, and what may be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// In a line.
    pub summary: String,
    /// In the plugin's own order.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// As it stands in the configuration.
    pub name: String,
    /// As it would be written there; empty when there is none.
    pub default: String,
    /// What it is for.
    pub help: String,
}

impl Runtime {
    /// Asks a plugin, in an instance that is thrown away; none when it says nothing. Blocks for as long as the guest takes.
    pub fn describe(&self, compiled: &Compiled) -> Result<Option<Description>, Fault> {
        let Some(about) = compiled.about() else { return Ok(None) };
        let (mut sandbox, instance) = Sandbox::new(compiled.pre(), &self.limits, scratch())?;
        let description = sandbox.call(Call::Describe, |store| about.describe(store, &instance))?;
        Ok(Some(readable(description)))
    }
}

/// A stranger's texts, fit for a terminal.
fn readable(description: Description) -> Description {
    let Description { summary, settings } = description;
    let setting = |Setting { name, default, help }: Setting| Setting {
        name: line(&name),
        default: line(&default),
        help: line(&help),
    };
    Description { summary: line(&summary), settings: settings.into_iter().take(SETTINGS_MOST).map(setting).collect() }
}

fn line(text: &str) -> String {
    // Nor does it turn the rest of the line around.
    let turns = |char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&char| !char.is_control() && !turns(char)).take(TEXT_MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_texts_do_nothing_to_a_terminal() {
        let setting = Setting { name: "a\u{1b}[2J\u{202e}".into(), help: "x".repeat(1000), ..Setting::default() };
        let shown = readable(Description { summary: "one\ntwo\r".into(), settings: vec![setting; 100] });
        assert_eq!((shown.summary.as_str(), shown.settings.len()), ("onetwo", SETTINGS_MOST));
        assert_eq!((shown.settings[0].name.as_str(), shown.settings[0].help.len()), ("a[2J", TEXT_MOST));
    }
}
