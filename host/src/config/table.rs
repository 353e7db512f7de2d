//! The macro that makes a table of the file: the struct, its reader and its JSON Schema out of one list of keys, so that no
//! key can be read and be missing from the schema, or the other way round.

/// A table with these keys. All fields are optional in the struct, required keys too: when one is missing, that was told,
/// and what else is wrong can still be found.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        $noun:literal $name:ident {
            required { $($(#[doc = $required_doc:literal])+ $required:ident : $required_type:ty,)* }
            optional { $($(#[doc = $optional_doc:literal])+ $optional:ident : $optional_type:ty $(= $default:literal)?,)* }
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $($(#[doc = $required_doc])+ pub(super) $required: Option<At<$required_type>>,)*
            $($(#[doc = $optional_doc])+ pub(super) $optional: Option<At<$optional_type>>,)*
        }

        impl Shape for $name {
            const EXPECTED: &'static str = "a table";
            const NOUN: &'static str = $noun;
            const LIST: &'static str = concat!("a list of ", $noun, "s");

            fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
                let keys = [$(stringify!($required),)* $(stringify!($optional),)*];
                let table = Table::open(value, &keys, Self::EXPECTED, reader)?;
                Some(Self {
                    $($required: table.required(stringify!($required), reader),)*
                    $($optional: table.optional(stringify!($optional), reader),)*
                })
            }

            fn schema() -> Json {
                let mut properties = serde_json::Map::new();
                $(properties.insert(
                    stringify!($required).into(),
                    described(<$required_type>::schema(), &[$($required_doc),+], None),
                );)*
                $(properties.insert(stringify!($optional).into(), {
                    let default: &[Json] = &[$(Json::from($default))?];
                    described(<$optional_type>::schema(), &[$($optional_doc),+], default.first())
                });)*
                let required: &[&str] = &[$(stringify!($required)),*];
                let object = json!({
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                });
                described(object, &[$($doc),+], None)
            }
        }
    };
}
pub(super) use table;
