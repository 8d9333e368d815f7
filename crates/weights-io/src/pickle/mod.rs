//! PyTorch's pickles, read as data.
//!
//! A pickle is a program for a small stack machine that may name any callable of Python. Here the machine
//! ([`machine`]) has no callable at all: a call becomes a node that says what was asked for. The node of one
//! state-dict entry is then lowered to a plain pickle of numbers, strings and tuples ([`plain`]), parsed by
//! serde-pickle, and recognised by an exact allow-list of storages and rebuild functions ([`state_dict`]).

pub(crate) mod machine;
pub(crate) mod plain;
pub(crate) mod state_dict;
