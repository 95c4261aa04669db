//! What a setting is, and the macro that the table of them in [`super::options`] is written with.

use std::ffi::OsStr;

use super::value::{Form, Value};

/// One setting: a key of the file, an environment variable and, for most, a flag.
#[derive(Debug)]
pub struct Setting {
    /// The section of the file, `create.limits`; empty at the top.
    pub section: &'static str,
    /// The key in that section.
    pub key: &'static str,
    /// Lines of the documentation, as comments have them. The first paragraph is the help of the flag.
    pub doc: &'static [&'static str],
    /// The default, if there is one.
    pub default: Option<&'static str>,
    /// What the file says where there is no default.
    pub none: &'static str,
    /// The flag, if there is one.
    pub flag: Option<Flag>,
    /// What its values are, in words.
    pub kind: &'static str,
    pub(super) form: Form,
    /// Whether a text is a value of this setting.
    pub(super) accepts: fn(&OsStr) -> Result<(), &'static str>,
}

/// How a flag differs from what its setting says.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    pub(super) name: Option<&'static str>,
    pub(super) value_name: &'static str,
    pub(super) heading: Option<&'static str>,
}

impl Flag {
    /// A flag that is called as the setting is.
    pub(super) const fn of(value_name: &'static str) -> Self {
        Flag { name: None, value_name, heading: None }
    }

    pub(super) const fn named(self, name: &'static str) -> Self {
        Flag { name: Some(name), ..self }
    }

    pub(super) const fn under(self, heading: &'static str) -> Self {
        Flag { heading: Some(heading), ..self }
    }
}

impl Setting {
    /// The key with its sections, `create.limits.entries`.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.key.to_owned() } else { format!("{}.{}", self.section, self.key) }
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path().replace('.', "_").to_ascii_uppercase())
    }

    /// The name of the flag, without dashes.
    pub fn flag_name(&self) -> Option<String> {
        let flag = self.flag?;
        Some(flag.name.map_or_else(|| self.key.replace('_', "-"), str::to_owned))
    }

    /// Paragraphs of the documentation, each on one line; the first has no period.
    pub fn paragraphs(&self) -> Vec<String> {
        let lines: Vec<_> = self.doc.iter().map(|line| line.trim()).collect();
        lines.split(|line| line.is_empty()).map(|lines| lines.join(" ")).collect()
    }
}

/// What all environment variables of this program begin with.
pub(super) const VARIABLE_PREFIX: &str = "GROOTFS_";

/// The place of a setting's value in [`super::Options`].
pub(super) trait Slot {
    /// Takes the text of a flag or a variable; what lists have, they keep.
    fn add(&mut self, text: &OsStr) -> Result<(), &'static str>;
    fn is_given(&self) -> bool;
    fn number(&self) -> Option<i64>;
    fn json(&self) -> serde_json::Value;
}

impl<T: Value> Slot for Option<T> {
    fn add(&mut self, text: &OsStr) -> Result<(), &'static str> {
        let value = T::parse(text)?;
        match self {
            Some(present) => present.add(value),
            None => *self = Some(value),
        }
        Ok(())
    }

    fn is_given(&self) -> bool {
        self.as_ref().is_some_and(Value::is_given)
    }

    fn number(&self) -> Option<i64> {
        self.as_ref().and_then(Value::number)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The first of both that is given, else what is there.
pub(super) fn combine<T: Value>(over: Option<T>, under: Option<T>) -> Option<T> {
    if over.is_given() { over } else { under.or(over) }
}

pub(super) fn accepts<T: Value>(text: &OsStr) -> Result<(), &'static str> {
    T::parse(text).map(drop)
}

/// A section of the settings. [`options!`] implements it.
pub(super) trait Section: Default {
    const SETTINGS: &'static [Setting];

    /// The settings of this section, without those of the sections in it.
    fn own_slots(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)>;

    /// All settings, those of the sections in it as well.
    fn slots(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)>;

    /// Each value of this, or where it is not given, that of `under`.
    #[must_use]
    fn over(self, under: Self) -> Self;

    /// The defaults.
    fn defaults() -> Self {
        let mut defaults = Self::default();
        for (setting, slot) in defaults.slots() {
            // A test shows that all of them are values.
            let _ = setting.default.map(|default| slot.add(OsStr::new(default)));
        }
        defaults
    }
}

/// Writes down sections of settings: of each, documentation, key, kind of its values, default (where there is one) and
/// flag (where there is one). A section within a section comes last, in brackets.
macro_rules! options {
    ($(
        $(#[doc = $about:literal])*
        $name:ident in $section:literal {
            $( $(#[doc = $doc:literal])* $key:ident: $kind:ty $(= $default:literal)? $(, $flag:expr)?; )*
            $( [$inner:ident]: $options:ty; )*
        }
    )*) => { $(
        $(#[doc = $about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $key: Option<$kind>, )*
            $( #[doc = "The section of this name."] #[serde(deserialize_with = "crate::config::yaml::section")] pub $inner: $options, )*
        }

        impl Section for $name {
            const SETTINGS: &'static [Setting] = &[$( Setting {
                section: $section,
                key: stringify!($key),
                doc: &[$($doc),*],
                default: [$(Some($default),)? None][0],
                none: <$kind as Value>::NONE,
                flag: [$(Some($flag),)? None][0],
                kind: <$kind as Value>::KIND,
                form: <$kind as Value>::FORM,
                accepts: accepts::<$kind>,
            } ),*];

            fn own_slots(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)> {
                let slots: [&mut dyn Slot; _] = [$( &mut self.$key ),*];
                Self::SETTINGS.iter().zip(slots).collect()
            }

            fn slots(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)> {
                let slots: [&mut dyn Slot; _] = [$( &mut self.$key ),*];
                #[allow(unused_mut, reason = "most sections have no other in them")]
                let mut slots: Vec<_> = Self::SETTINGS.iter().zip(slots).collect();
                $( slots.extend(self.$inner.slots()); )*
                slots
            }

            fn over(self, under: Self) -> Self {
                $name {
                    $( $key: combine(self.$key, under.$key), )*
                    $( $inner: self.$inner.over(under.$inner), )*
                }
            }
        }

        crate::config::flags::args!($name);
    )* };
}
pub(super) use options;
