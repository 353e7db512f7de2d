//! Reads JSON for serde.

use super::mistake::Mistake;
use serde::{
    de::{self, DeserializeSeed, Deserializer, Error, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};

/// What is left to read.
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { rest: text }
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Mistake> {
        if self.peek().is_none() { Ok(()) } else { Err(Mistake::not_json()) }
    }

    /// The next byte behind white space, not taken.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.bytes().next()
    }

    fn take(&mut self, mark: u8) -> Result<(), Mistake> {
        if self.peek() != Some(mark) {
            return Err(Mistake::not_json());
        }
        self.rest = &self.rest[1..];
        Ok(())
    }

    fn string(&mut self) -> Result<String, Mistake> {
        self.take(b'"')?;
        let mut string = String::new();
        loop {
            match self.next_char()? {
                '"' => return Ok(string),
                '\\' => string.push(self.escaped()?),
                other => string.push(other),
            }
        }
    }

    /// What a backslash stands before.
    fn escaped(&mut self) -> Result<char, Mistake> {
        Ok(match self.next_char()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.code_point()?,
            same @ ('"' | '\\' | '/') => same,
            _ => return Err(Mistake::not_json()),
        })
    }

    /// Four hexadecimal digits; eight, with another `\u` between them, for what is beyond 16 bits.
    fn code_point(&mut self) -> Result<char, Mistake> {
        let unit = self.four_digits()?;
        let code = if (0xd800..0xdc00).contains(&unit) {
            self.rest = self.rest.strip_prefix("\\u").ok_or_else(Mistake::not_json)?;
            let low = self.four_digits()?.checked_sub(0xdc00).ok_or_else(Mistake::not_json)?;
            0x1_0000 + ((unit - 0xd800) << 10) + low
        } else {
            unit
        };
        char::from_u32(code).ok_or_else(Mistake::not_json)
    }

    fn four_digits(&mut self) -> Result<u32, Mistake> {
        (0..4).try_fold(0, |code, _| {
            let digit = self.next_char()?.to_digit(16).ok_or_else(Mistake::not_json)?;
            Ok(code << 4 | digit)
        })
    }

    fn next_char(&mut self) -> Result<char, Mistake> {
        let mut chars = self.rest.chars();
        let next = chars.next().ok_or_else(Mistake::not_json)?;
        self.rest = chars.as_str();
        Ok(next)
    }

    /// A number, or one of the three words of JSON.
    fn word(&mut self) -> &'a str {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.peek() {
            Some(b'{') => {
                self.take(b'{')?;
                let value = visitor.visit_map(Members::of(self))?;
                self.take(b'}')?;
                Ok(value)
            }
            Some(b'[') => {
                self.take(b'[')?;
                let value = visitor.visit_seq(Members::of(self))?;
                self.take(b']')?;
                Ok(value)
            }
            Some(b'"') => visitor.visit_string(self.string()?),
            _ => match self.word() {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => {
                    if let Ok(whole) = number.parse() {
                        visitor.visit_u64(whole)
                    } else if let Ok(negative) = number.parse() {
                        visitor.visit_i64(negative)
                    } else if let Ok(fraction) = number.parse() {
                        visitor.visit_f64(fraction)
                    } else {
                        Err(Mistake::not_json())
                    }
                }
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.peek();
        match self.rest.strip_prefix("null") {
            Some(rest) => {
                self.rest = rest;
                visitor.visit_none()
            }
            None => visitor.visit_some(self),
        }
    }

    /// A variant is a word: settings choose among words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(self.string()?.into_deserializer()),
            _ => Err(Mistake::invalid_type(Unexpected::Other("that"), &"a word in quotes")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// What stands between brackets, one after the other.
struct Members<'r, 'a> {
    reader: &'r mut Reader<'a>,
    first: bool,
    /// The name of the setting that is being read.
    name: String,
}

impl<'r, 'a> Members<'r, 'a> {
    fn of(reader: &'r mut Reader<'a>) -> Self {
        Members { reader, first: true, name: String::new() }
    }

    /// Whether one more comes; takes the comma before it.
    fn more(&mut self) -> Result<bool, Mistake> {
        if matches!(self.reader.peek(), Some(b'}' | b']')) {
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.take(b',')?;
        }
        Ok(true)
    }
}

impl<'de> de::MapAccess<'de> for Members<'_, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        if !self.more()? {
            return Ok(None);
        }
        self.name = self.reader.string()?;
        seed.deserialize(self.name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        self.reader.take(b':')?;
        seed.deserialize(&mut *self.reader).map_err(|mistake| mistake.of(&self.name))
    }
}

impl<'de> de::SeqAccess<'de> for Members<'_, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}
