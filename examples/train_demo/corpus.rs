//! Sentences made of phrases: a grammar, and the distinct sentences that a seed draws from it.

use std::collections::{BTreeMap, HashSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::Failure;

/// Phrases by name; `{name}` in a phrase stands for any of those under that name. `sentence` is where it starts.
pub(crate) struct Grammar(BTreeMap<String, Vec<String>>);

impl Grammar {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Ok(Self(toml::from_str(text)?))
    }

    fn sentence(&self, random: &mut ChaCha8Rng) -> Result<String, Failure> {
        let mut sentence = self.expand("sentence", random, &mut HashSet::new())?;
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Ok(sentence)
    }

    /// One of the phrases under a name, with all that it stands for; no phrase comes twice in a sentence.
    fn expand<'a>(
        &'a self,
        name: &str,
        random: &mut ChaCha8Rng,
        used: &mut HashSet<&'a str>,
    ) -> Result<String, Failure> {
        let phrases = self.0.get(name).into_iter().flatten().map(String::as_str);
        let phrases: Vec<&str> = phrases.filter(|phrase| !used.contains(phrase)).collect();
        if phrases.is_empty() {
            return Err(format!("the grammar has too few phrases named {name}").into());
        }
        let mut rest = phrases[(random.next_u64() % phrases.len() as u64) as usize];
        used.insert(rest);
        let mut expanded = String::new();
        while let Some((before, (inner, after))) =
            rest.split_once('{').and_then(|(before, from)| Some((before, from.split_once('}')?)))
        {
            expanded += before;
            expanded += &self.expand(inner, random, used)?;
            rest = after;
        }
        Ok(expanded + rest)
    }
}

/// Distinct sentences of one topic.
pub(crate) struct Corpus {
    /// No model is trained on these.
    pub(crate) held_out: Vec<String>,
    pub(crate) training: Vec<String>,
}

impl Corpus {
    /// Sentences of 8 to 40 words, each once; the first ones are held out.
    pub(crate) fn draw(
        grammar: &Grammar,
        seed: u64,
        topic: &str,
        held_out: usize,
        training: usize,
    ) -> Result<Self, Failure> {
        let mut random = generator(seed, topic);
        let (mut seen, mut sentences) = (HashSet::new(), Vec::new());
        for _ in 0..10 * (held_out + training) {
            let sentence = grammar.sentence(&mut random)?;
            let words = sentence.split(' ').count();
            if (8..=40).contains(&words) && seen.insert(sentence.clone()) {
                sentences.push(sentence);
            }
            if sentences.len() == held_out + training {
                let training = sentences.split_off(held_out);
                return Ok(Self { held_out: sentences, training });
            }
        }
        Err(format!("the grammar of {topic} has too few sentences").into())
    }
}

/// Random numbers that depend on the seed and on what they are for.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].iter_mut().zip(purpose.bytes()).for_each(|(key, byte)| *key = byte);
    ChaCha8Rng::from_seed(key)
}
