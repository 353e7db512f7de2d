//! What a plugin says about itself: its `plugin.toml`, read when somebody asks.

use crate::bindings::about::exports::pointsman::plugin::about::{Description, Setting};

/// Reads the summary, and each `[settings.NAME]` with its `default` and `help`. Of TOML it knows what such a file is made of,
/// a key and a value in each line; what it does not know it leaves out.
pub fn describe(manifest: &str) -> Description {
    let mut description = Description { summary: String::new(), settings: Vec::new() };
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            if let Some(name) = name.strip_prefix("settings.") {
                let name = name.trim_matches('"').to_owned();
                description.settings.push(Setting { name, default: String::new(), help: String::new() });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let setting = description.settings.last_mut().filter(|_| section.starts_with("settings."));
        match (key.trim(), setting) {
            ("summary", None) if section.is_empty() => description.summary = text(value),
            ("default", Some(setting)) => setting.default = text(value),
            ("help", Some(setting)) => setting.help = text(value),
            _ => {}
        }
    }
    description
}

/// Without its quotes; a number as it stands.
fn text(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let manifest = r#"
            name = "ours"
            summary = "says \"a = b\""
            [settings.hash]
            default = "path"
            help = "what is hashed"
            [settings.size]
            default = 65537
            help = 'not known'
            [[cost]]
            default = 7
            summary = "no"
        "#;
        let description = describe(manifest);
        assert_eq!(description.summary, r#"says "a = b""#);
        let settings: Vec<_> = description.settings.iter().map(|s| (&*s.name, &*s.default, &*s.help)).collect();
        assert_eq!(settings, [("hash", "path", "what is hashed"), ("size", "65537", "'not known'")]);
        assert!(describe("").settings.is_empty());
    }
}
