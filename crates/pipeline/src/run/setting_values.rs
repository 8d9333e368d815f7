//! How values of settings stand in a file, both ways.
#![allow(clippy::ref_option)] // serde hands out values so

use std::fmt::Display;
use std::str::FromStr;

use report::ZeroDeltas;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weights_io::Selection;

use crate::PictureFormat;

const SELECTIONS: [(&str, Selection); 2] = [("linear", Selection::Linear), ("all", Selection::AllMatrices)];
const ZERO_DELTAS: [(&str, ZeroDeltas); 2] =
    [("exclude", ZeroDeltas::Exclude), ("include", ZeroDeltas::Include)];
const PICTURE_FORMATS: [(&str, PictureFormat); 2] =
    [("png", PictureFormat::Png), ("svg", PictureFormat::Svg)];

/// A value that is written as the text that it is given as elsewhere.
pub(crate) mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serialize, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer, T: Display>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(serializer)
    }
}

/// A number of bytes: written in full, since units round.
pub(crate) mod bytes {
    use bytesize::ByteSize;

    pub(crate) use super::text::deserialize;
    use super::{Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<ByteSize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|size| format!("{}B", size.as_u64())).serialize(serializer)
    }
}

/// One of several names.
macro_rules! named {
    ($module:ident, $type:ty, $names:ident) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$type>, D::Error> {
                choice(&String::deserialize(deserializer)?, $names).map(Some)
            }

            pub(crate) fn serialize<S: Serializer>(
                value: &Option<$type>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                value.map(|value| name_of(&value, $names)).serialize(serializer)
            }
        }
    };
}

named!(selection, Selection, SELECTIONS);
named!(zero_deltas, ZeroDeltas, ZERO_DELTAS);

/// Several of several names.
pub(crate) mod picture_formats {
    use super::{
        Deserialize, Deserializer, PICTURE_FORMATS, PictureFormat, Serialize, Serializer, choice, name_of,
    };

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<PictureFormat>>, D::Error> {
        let given = Vec::<String>::deserialize(deserializer)?;
        given.iter().map(|name| choice(name, PICTURE_FORMATS)).collect::<Result<_, _>>().map(Some)
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Vec<PictureFormat>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let names = |formats: &Vec<PictureFormat>| -> Vec<&str> {
            formats.iter().map(|format| name_of(format, PICTURE_FORMATS)).collect()
        };
        value.as_ref().map(names).serialize(serializer)
    }
}

fn choice<T, E: serde::de::Error, const N: usize>(
    given: &str,
    names: [(&'static str, T); N],
) -> Result<T, E> {
    let known = names.each_ref().map(|(name, _)| format!("`{name}`")).join(" or ");
    let chosen = names.into_iter().find(|(name, _)| *name == given);
    chosen.map(|(_, value)| value).ok_or_else(|| E::custom(format!("there is no `{given}`, only {known}")))
}

fn name_of<T: PartialEq, const N: usize>(value: &T, names: [(&'static str, T); N]) -> &'static str {
    names.into_iter().find(|(_, named)| named == value).map_or("", |(name, _)| name)
}

/// What a selection is called, in files as on command lines.
pub(crate) fn selection_name(selection: Selection) -> &'static str {
    name_of(&selection, SELECTIONS)
}

/// What a way to treat unchanged matrices is called, in files as on command lines.
pub(crate) fn zero_deltas_name(zero_deltas: ZeroDeltas) -> &'static str {
    name_of(&zero_deltas, ZERO_DELTAS)
}
