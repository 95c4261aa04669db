//! The kinds of values that settings have, and how each is read from a flag or an environment variable. How they are
//! read from the file is told in [`super::yaml`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use serde::Serialize;

use super::number::{parse_bool, parse_int64, parse_size, parse_span};

/// Text; empty is as good as not given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text(pub String);

/// A log level. Unlike other texts, an empty one counts as given: as a flag it silences what the file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Level(pub String);

/// The path of a file or a directory; empty is as good as not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FilePath(pub PathBuf);

/// A number of bytes, which may have a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Size(pub i64);

/// A number of anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Count(pub i64);

/// A number of seconds, which may have a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Span(pub i64);

/// Yes or no; a flag may say either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Truth(pub bool);

/// Yes or no; a flag can only say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Switch(pub bool);

/// A list; an empty one is as good as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Texts(pub Vec<String>);

/// For each registry its mirrors; none at all is as good as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mirrors(pub BTreeMap<String, Vec<String>>);

/// What the flag of a setting looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `--flag VALUE`
    Value,
    /// `--flag VALUE`, repeatable
    List,
    /// `--flag` or `--flag=false`
    Truth,
    /// `--flag`
    Switch,
}

/// A kind of value.
pub(super) trait Value: Sized + Serialize {
    const FORM: Form;
    /// What the file says where there is no default.
    const NONE: &'static str;
    /// In words, for documentation.
    const KIND: &'static str;

    /// Reads the text of a flag or a variable; the error says what it must be.
    fn parse(text: &OsStr) -> Result<Self, &'static str>;

    /// Takes in what the same flag says when it is repeated.
    fn add(&mut self, other: Self) {
        *self = other;
    }

    /// Whether this stands over what other sources say.
    fn is_given(&self) -> bool {
        true
    }

    /// The number, if it is one.
    fn number(&self) -> Option<i64> {
        None
    }
}

fn utf8(text: &OsStr) -> Result<&str, &'static str> {
    text.to_str().ok_or("must be UTF-8")
}

impl Value for Text {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "\"\"";
    const KIND: &'static str = "text";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        Ok(Text(utf8(text)?.to_owned()))
    }

    fn is_given(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Value for Level {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "\"\"";
    const KIND: &'static str = "text";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        Ok(Level(utf8(text)?.to_owned()))
    }
}

impl Value for FilePath {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "\"\"";
    const KIND: &'static str = "path";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        Ok(FilePath(text.into()))
    }

    fn is_given(&self) -> bool {
        !self.0.as_os_str().is_empty()
    }
}

impl Value for Size {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "null";
    const KIND: &'static str = "size";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        text.to_str().and_then(parse_size).map(Size).ok_or("must be a number of bytes, as 100M or 1.5GiB")
    }

    fn number(&self) -> Option<i64> {
        Some(self.0)
    }
}

impl Value for Count {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "null";
    const KIND: &'static str = "number";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        text.to_str().and_then(parse_int64).map(Count).ok_or("must be a number")
    }

    fn number(&self) -> Option<i64> {
        Some(self.0)
    }
}

impl Value for Span {
    const FORM: Form = Form::Value;
    const NONE: &'static str = "null";
    const KIND: &'static str = "duration";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        text.to_str().and_then(parse_span).map(Span).ok_or("must be a number of seconds, or as 90s, 5m or 2h")
    }

    fn number(&self) -> Option<i64> {
        Some(self.0)
    }
}

impl Value for Truth {
    const FORM: Form = Form::Truth;
    const NONE: &'static str = "false";
    const KIND: &'static str = "true or false";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        text.to_str().and_then(parse_bool).map(Truth).ok_or("must be true or false")
    }
}

impl Value for Switch {
    const FORM: Form = Form::Switch;
    const NONE: &'static str = "false";
    const KIND: &'static str = "true or false";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        Truth::parse(text).map(|Truth(is_on)| Switch(is_on))
    }
}

impl Value for Texts {
    const FORM: Form = Form::List;
    const NONE: &'static str = "[]";
    const KIND: &'static str = "list";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        Ok(Texts(utf8(text)?.split(',').map(|text| text.trim().to_owned()).collect()))
    }

    fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn is_given(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Value for Mirrors {
    const FORM: Form = Form::List;
    const NONE: &'static str = "{}";
    const KIND: &'static str = "list for each registry";

    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        let mut mirrors = Mirrors::default();
        for text in utf8(text)?.split(',') {
            let (registry, endpoint) = text.split_once('=').ok_or("must be HOST=ENDPOINT")?;
            let (registry, endpoint) = (registry.trim(), endpoint.trim());
            if registry.is_empty() || endpoint.is_empty() {
                return Err("must be HOST=ENDPOINT");
            }
            mirrors.0.entry(registry.to_owned()).or_default().push(endpoint.to_owned());
        }
        Ok(mirrors)
    }

    fn add(&mut self, other: Self) {
        for (registry, endpoints) in other.0 {
            self.0.entry(registry).or_default().extend(endpoints);
        }
    }

    fn is_given(&self) -> bool {
        !self.0.is_empty()
    }
}
