//! Frequencies of rotary position embeddings and how long contexts stretch them.
//!
//! Su et al., *RoFormer*, 2021. Scaled variants as transformers defines them (`modeling_rope_utils.py`): linear, dynamic
//! NTK, YaRN (Peng et al., 2023), LongRoPE (Ding et al., 2024) and the one of Llama 3.1.

use std::f64::consts::PI;

use intake::shown;
use serde_json::{Map, Value};

use crate::Error;
use crate::config::Config;
use crate::family::Rotary;

/// One set of frequencies: how far a position turns each pair of components.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rope {
    /// Components of a head that are turned; the rest pass.
    pub(crate) dimensions: usize,
    pub(crate) interleaved: bool,
    theta: f64,
    scaling: Scaling,
    /// Sines and cosines are multiplied by this.
    magnitude: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Scaling {
    None,
    /// Factors of each frequency, whatever the length.
    Fixed(Vec<f64>),
    /// The base grows with a sample that is longer than `trained`.
    Dynamic {
        factor: f64,
        trained: f64,
    },
    /// Divisors of each frequency for samples up to `trained` positions, and beyond.
    Long {
        short: Vec<f64>,
        long: Vec<f64>,
        trained: usize,
    },
}

impl Rope {
    /// The frequencies of all blocks, or of those with full attention.
    pub(crate) fn global(config: &Config, rotary: &Rotary, head_dim: usize) -> Result<Self, Error> {
        let nested = if rotary.local { Some("full_attention") } else { None };
        let reader = Reader::new(config, nested, "rope_theta")?;
        reader.rope(rotary, head_dim)
    }

    /// The frequencies of blocks with a window, in families that have two sets.
    pub(crate) fn local(config: &Config, rotary: &Rotary, head_dim: usize) -> Result<Self, Error> {
        let mut reader = Reader::new(config, Some("sliding_attention"), "rope_local_base_freq")?;
        if !reader.nested {
            reader.parameters.clear(); // the scaling of old configurations is that of full attention alone
        }
        reader.rope(rotary, head_dim)
    }

    /// Angle per position of each pair of components, for a sample of so many tokens.
    fn frequencies(&self, length: usize) -> Vec<f32> {
        let pairs = self.dimensions / 2;
        let exponent = |pair: usize| 2.0 * pair as f64 / self.dimensions as f64;
        // transformers computes these in f32, and the angles of far positions show it
        let plain = |theta: f64| (0..pairs).map(move |pair| 1.0 / theta.powf(exponent(pair)) as f32);
        match &self.scaling {
            Scaling::None => plain(self.theta).collect(),
            Scaling::Fixed(factors) => {
                plain(self.theta).zip(factors).map(|(frequency, factor)| frequency * *factor as f32).collect()
            }
            Scaling::Dynamic { factor, trained } => {
                let stretch = factor * (length as f64).max(*trained) / trained - (factor - 1.0);
                let dimensions = self.dimensions as f64;
                plain(self.theta * stretch.powf(dimensions / (dimensions - 2.0))).collect()
            }
            Scaling::Long { short, long, trained } => {
                let divisors = if length > *trained { long } else { short };
                (0..pairs)
                    .zip(divisors)
                    .map(|(pair, divisor)| 1.0 / (*divisor as f32 * self.theta.powf(exponent(pair)) as f32))
                    .collect()
            }
        }
    }

    /// Cosines and sines of a sample, `[length, dimensions / 2]` each, row by row.
    pub(crate) fn table(&self, length: usize) -> (Vec<f32>, Vec<f32>) {
        let frequencies = self.frequencies(length);
        let magnitude = self.magnitude as f32;
        let angles = (0..length)
            .flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency));
        angles.map(|angle| (angle.cos() * magnitude, angle.sin() * magnitude)).unzip()
    }
}

/// Reads one set of rope parameters, new style (`rope_parameters`) or old (`rope_scaling`, `rope_theta`).
struct Reader<'a> {
    config: &'a Config,
    parameters: Map<String, Value>,
    nested: bool,
    theta_key: &'static str,
}

impl<'a> Reader<'a> {
    fn new(config: &'a Config, layer_type: Option<&str>, theta_key: &'static str) -> Result<Self, Error> {
        let dictionary = |key: &str| match config.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map).filter(|map| !map.is_empty())),
            Some(_) => Err(config.error(key, "is no object")),
        };
        let all = match dictionary("rope_scaling")? {
            Some(map) => map,
            None => dictionary("rope_parameters")?.unwrap_or_default(),
        };
        let own = layer_type.and_then(|key| all.get(key)).and_then(Value::as_object);
        let nested = own.is_some();
        Ok(Self { config, parameters: own.cloned().unwrap_or(all), nested, theta_key })
    }

    fn wrong(&self, key: &str, problem: &str) -> Error {
        self.config.error("rope_parameters", format!("has a {key} that {problem}"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.parameters.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "is no number")),
        }
    }

    fn required(&self, key: &str) -> Result<f64, Error> {
        self.number(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// A number of the set, or else the top-level quantity of this name.
    fn number_or(&self, key: &str, quantity: &str) -> Result<Option<f64>, Error> {
        match self.number(key)? {
            Some(number) => Ok(Some(number)),
            None => self.config.number(quantity),
        }
    }

    fn list(&self, key: &str, length: usize) -> Result<Vec<f64>, Error> {
        let list = self.parameters.get(key).and_then(Value::as_array);
        let numbers: Option<Vec<f64>> = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        let numbers = numbers.ok_or_else(|| self.wrong(key, "is no list of numbers"))?;
        if numbers.len() == length {
            Ok(numbers)
        } else {
            Err(self.wrong(key, &format!("has {} numbers instead of {length}", numbers.len())))
        }
    }

    fn kind(&self, rotary: &Rotary) -> String {
        let kind = ["rope_type", "type"].iter().find_map(|key| self.parameters.get(*key)?.as_str());
        let kind = kind.unwrap_or("default").to_owned();
        if rotary.longrope_names.contains(&kind) { "longrope".to_owned() } else { kind }
    }

    fn rope(&self, rotary: &Rotary, head_dim: usize) -> Result<Rope, Error> {
        let theta = self
            .number_or("rope_theta", self.theta_key)?
            .filter(|theta| *theta > 0.0)
            .ok_or_else(|| self.wrong("rope_theta", "is not positive"))?;
        let fraction = self.number_or("partial_rotary_factor", "partial_rotary_factor")?.unwrap_or(1.0);
        let dimensions = self.config.count("rotary_dim")?.unwrap_or((head_dim as f64 * fraction) as usize);
        if dimensions < 2 || dimensions > head_dim || !dimensions.is_multiple_of(2) {
            let problem = format!(
                "turns {dimensions} of {head_dim} components of a head, which must be an even number of them"
            );
            return Err(self.config.error("partial_rotary_factor", problem));
        }
        let mut rope = Rope {
            dimensions,
            interleaved: rotary.interleaved,
            theta,
            scaling: Scaling::None,
            magnitude: 1.0,
        };
        match self.kind(rotary).as_str() {
            "default" => {}
            "linear" => rope.scaling = Scaling::Fixed(vec![1.0 / self.factor()?; dimensions / 2]),
            "dynamic" => {
                let trained = self.config.required("max_position_embeddings")? as f64;
                rope.scaling = Scaling::Dynamic { factor: self.factor()?, trained };
                if dimensions == 2 {
                    return Err(self.wrong("rope_type", "needs more than two turned components"));
                }
            }
            "llama3" => rope.scaling = Scaling::Fixed(self.llama3(&rope)?),
            "yarn" => (rope.scaling, rope.magnitude) = self.yarn(&rope)?,
            "longrope" => (rope.scaling, rope.magnitude) = self.longrope(&rope)?,
            other => {
                let other = shown(other);
                let problem =
                    format!("`{other}` is not one of default, linear, dynamic, llama3, yarn, longrope");
                return Err(self.wrong("rope_type", &problem));
            }
        }
        Ok(rope)
    }

    fn factor(&self) -> Result<f64, Error> {
        let factor = self.required("factor")?;
        if factor > 0.0 { Ok(factor) } else { Err(self.wrong("factor", "is not positive")) }
    }

    /// Positions of the original training. A top-level key wins over the one in the set.
    fn trained(&self) -> Result<f64, Error> {
        let key = "original_max_position_embeddings";
        let trained = match self.config.number(key)? {
            Some(trained) => Some(trained),
            None => self.number_or(key, "max_position_embeddings")?,
        };
        trained.filter(|trained| *trained > 1.0).ok_or_else(|| self.wrong(key, "is missing or too small"))
    }

    /// The factor, or the ratio of the lengths.
    fn stretch(&self, trained: f64) -> Result<f64, Error> {
        match self.number("factor")? {
            Some(_) => self.factor(),
            None => Ok(self.config.required("max_position_embeddings")? as f64 / trained),
        }
    }

    fn llama3(&self, rope: &Rope) -> Result<Vec<f64>, Error> {
        let (factor, trained) = (self.factor()?, self.trained()?);
        let (low, high) = (self.required("low_freq_factor")?, self.required("high_freq_factor")?);
        let scale = |frequency: f64| {
            let wavelength = 2.0 * PI / frequency;
            if wavelength < trained / high {
                1.0
            } else if wavelength > trained / low {
                1.0 / factor
            } else {
                let smooth = (trained / wavelength - low) / (high - low);
                (1.0 - smooth) / factor + smooth
            }
        };
        let frequencies = rope.frequencies(0);
        Ok(frequencies.into_iter().map(|frequency| scale(f64::from(frequency))).collect())
    }

    fn yarn(&self, rope: &Rope) -> Result<(Scaling, f64), Error> {
        let trained = self.trained()?;
        let factor = self.stretch(trained)?;
        let given = |key: &str| Ok::<_, Error>(self.number(key)?.filter(|number| *number != 0.0));
        let magnitude_at = |scale: f64, weight: f64| {
            if scale <= 1.0 { 1.0 } else { 0.1 * weight * scale.ln() + 1.0 }
        };
        let magnitude = match (self.number("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
            (Some(magnitude), ..) => magnitude,
            (None, Some(own), Some(all)) => magnitude_at(factor, own) / magnitude_at(factor, all),
            _ => magnitude_at(factor, 1.0),
        };
        let dimensions = rope.dimensions as f64;
        let pair_of = |turns: f64| dimensions * (trained / (turns * 2.0 * PI)).ln() / (2.0 * rope.theta.ln());
        let mut low = pair_of(given("beta_fast")?.unwrap_or(32.0));
        let mut high = pair_of(given("beta_slow")?.unwrap_or(1.0));
        if self.parameters.get("truncate").and_then(Value::as_bool).unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dimensions - 1.0));
        if low == high {
            high += 0.001;
        }
        let factors = (0..rope.dimensions / 2).map(|pair| {
            let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            ramp / factor + (1.0 - ramp)
        });
        Ok((Scaling::Fixed(factors.collect()), magnitude))
    }

    fn longrope(&self, rope: &Rope) -> Result<(Scaling, f64), Error> {
        let trained = self.trained()?;
        let factor = self.stretch(trained)?;
        let magnitude = match self.number("attention_factor")? {
            Some(magnitude) => magnitude,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / trained.ln()).sqrt(),
        };
        let pairs = rope.dimensions / 2;
        let (short, long) = (self.list("short_factor", pairs)?, self.list("long_factor", pairs)?);
        Ok((Scaling::Long { short, long, trained: trained as usize }, magnitude))
    }
}
