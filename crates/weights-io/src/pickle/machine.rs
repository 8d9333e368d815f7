//! The stack machine of pickle protocols 2 to 5, building an arena of nodes: no recursion, no callable, and no
//! allocation beyond one node an instruction.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::error::PickleError;
use intake::shown;

/// Index of a node in [`Pickle::nodes`].
pub(crate) type NodeId = u32;

/// One value. Text stays in the input; the content of bytes is never needed.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, little-endian two's complement.
    BigInt(Range<usize>),
    Float(f64),
    Text(Range<usize>),
    Bytes,
    Tuple(Vec<NodeId>),
    List(Vec<NodeId>),
    /// `dict`, `OrderedDict`, `defaultdict`, `Counter`: keys and values in order of insertion.
    Dict(Vec<(NodeId, NodeId)>),
    /// set or frozenset, of which nothing is needed.
    Set,
    Global {
        module: Range<usize>,
        name: Range<usize>,
    },
    PersistentId(NodeId),
    /// REDUCE or NEWOBJ: what was to be called, and with what. Nothing is.
    Call {
        callable: NodeId,
        arguments: NodeId,
    },
}

/// A parsed pickle: its nodes, its root, and where it ended.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: NodeId,
    /// Bytes up to and including STOP.
    pub(crate) end: usize,
    /// Everything that the pickle asked to call, wherever it hid the request. Nothing was called.
    pub(crate) calls: BTreeSet<String>,
}

/// A third of a gigabyte of nodes: a state dict needs about thirty a tensor.
const MAX_NODES: usize = 1 << 23;
/// Different calls that are remembered; more are only a longer complaint.
const MAX_CALLS: usize = 256;
/// Bytes that are kept of a callable's module and of its name; those on the allow-list are far shorter.
const MAX_NAME: usize = 256;
/// The newest pickle protocol.
const MAX_PROTOCOL: u8 = 5;

struct Machine<'a> {
    input: &'a [u8],
    available: usize,
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    marks: Vec<usize>,
    memo: HashMap<u32, NodeId>,
    /// Entries copied out of shared containers; bounded, so that repetition cannot multiply memory.
    copied: usize,
    calls: BTreeSet<String>,
}

/// Runs the pickle at the start of `input` up to its STOP. Of the `available` bytes that could belong to it `input` may
/// be the beginning; if it goes on, that is [`PickleError::Truncated`].
pub(crate) fn parse(input: &[u8], available: usize) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine {
        input,
        available,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
        calls: BTreeSet::new(),
    };
    let root = loop {
        let start = machine.at;
        let opcode = machine.byte()?;
        match machine.step(opcode) {
            Ok(Some(root)) => break root,
            Ok(None) => {}
            Err(Fault::Stack) => return Err(PickleError::Stack { opcode, at: start }),
            Err(Fault::Opcode) => return Err(PickleError::Opcode { opcode, at: start }),
            Err(Fault::Other(error)) => return Err(error),
        }
    };
    Ok(Pickle { input, nodes: machine.nodes, root, end: machine.at, calls: machine.calls })
}

enum Fault {
    Stack,
    Opcode,
    Other(PickleError),
}

impl From<PickleError> for Fault {
    fn from(error: PickleError) -> Self {
        Self::Other(error)
    }
}

impl Machine<'_> {
    /// One instruction; `Some(root)` at STOP. Names in the comments are those of Python's pickletools.
    #[allow(clippy::too_many_lines)] // a flat table of instructions reads better than its fragments
    fn step(&mut self, opcode: u8) -> Result<Option<NodeId>, Fault> {
        match opcode {
            b'.' => return self.stop().map(Some), // STOP
            // PROTO
            0x80 => {
                if self.byte()? > MAX_PROTOCOL {
                    return Err(Fault::Opcode);
                }
            }
            // FRAME
            0x95 => {
                let length = self.length::<8>()?;
                if length > self.input.len() - self.at {
                    return Err(PickleError::Truncated { at: self.at }.into());
                }
            }
            b'(' => self.marks.push(self.stack.len()), // MARK
            b'0' => self.pop_or_mark()?,               // POP
            b'1' | 0x90 => drop(self.pop_mark()?),     // POP_MARK, ADDITEMS
            b'2' => self.stack.push(self.top()?),      // DUP
            b'N' => self.push(Node::None)?,            // NONE
            0x88 => self.push(Node::Bool(true))?,      // NEWTRUE
            0x89 => self.push(Node::Bool(false))?,     // NEWFALSE
            b'K' => self.push_int::<1>(|[byte]| byte.into())?, // BININT1
            b'M' => self.push_int(|bytes| u16::from_le_bytes(bytes).into())?, // BININT2
            b'J' => self.push_int(|bytes| i32::from_le_bytes(bytes).into())?, // BININT
            0x8a => {
                let length = self.length::<1>()?;
                self.push_long(length)?; // LONG1
            }
            0x8b => {
                let length = self.length::<4>()?;
                self.push_long(length)?; // LONG4
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(value))?; // BINFLOAT
            }
            b'U' | 0x8c => self.push_text::<1>()?, // SHORT_BINSTRING of Python 2, SHORT_BINUNICODE
            b'T' | b'X' => self.push_text::<4>()?, // BINSTRING of Python 2, BINUNICODE
            0x8d => self.push_text::<8>()?,        // BINUNICODE8
            b'C' => self.push_bytes::<1>()?,       // SHORT_BINBYTES
            b'B' => self.push_bytes::<4>()?,       // BINBYTES
            0x8e | 0x96 => self.push_bytes::<8>()?, // BINBYTES8, BYTEARRAY8
            b')' => self.push(Node::Tuple(Vec::new()))?, // EMPTY_TUPLE
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Node::Tuple(items))?; // TUPLE1, TUPLE2, TUPLE3
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?; // TUPLE
            }
            b']' => self.push(Node::List(Vec::new()))?, // EMPTY_LIST
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?; // LIST
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?; // APPEND
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(items)?; // APPENDS
            }
            b'}' => self.push(Node::Dict(Vec::new()))?, // EMPTY_DICT
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(Vec::new()))?;
                self.extend_dict(&items)?; // DICT
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.extend_dict(&items)?; // SETITEM
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?; // SETITEMS
            }
            0x8f => self.push(Node::Set)?, // EMPTY_SET
            0x91 => {
                self.pop_mark()?;
                self.push(Node::Set)?; // FROZENSET
            }
            b'q' => self.put_length::<1>()?, // BINPUT
            b'r' => self.put_length::<4>()?, // LONG_BINPUT
            0x94 => {
                let index = self.memo.len();
                self.put(index)?; // MEMOIZE
            }
            b'h' => self.get_length::<1>()?, // BINGET
            b'j' => self.get_length::<4>()?, // LONG_BINGET
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global { module, name })?; // GLOBAL
            }
            0x93 => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                self.push(Node::Global { module, name })?; // STACK_GLOBAL
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::PersistentId(id))?; // BINPERSID
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)?; // REDUCE, NEWOBJ
            }
            0x92 => {
                self.pop()?; // keyword arguments
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)?; // NEWOBJ_EX
            }
            b'b' => drop(self.pop()?), // BUILD: the state of an object; state dicts carry only `_metadata` there
            _ => return Err(Fault::Opcode),
        }
        Ok(None)
    }

    /// A call of one of the standard containers is that container; any other stays a note of what was asked.
    fn call(&mut self, callable: NodeId, arguments: NodeId) -> Result<(), Fault> {
        if let Node::Global { module, name } = &self.nodes[callable as usize]
            && &self.input[module.clone()] == b"collections"
            && matches!(&self.input[name.clone()], b"OrderedDict" | b"defaultdict" | b"Counter")
        {
            let entries = self.container_entries(arguments);
            self.copied += entries.len();
            if self.copied > self.available {
                let limit = self.available;
                return Err(PickleError::TooLarge { limit, what: "copied dict entries" }.into());
            }
            return self.push(Node::Dict(entries));
        }
        if self.calls.len() < MAX_CALLS {
            self.calls.insert(match &self.nodes[callable as usize] {
                Node::Global { module, name } => global_name(self.input, module, name),
                _ => "a computed value".into(),
            });
        }
        self.push(Node::Call { callable, arguments })
    }

    /// Entries given to a container's constructor: `[[key, value], …]` or a dict, as older protocols write them.
    fn container_entries(&self, arguments: NodeId) -> Vec<(NodeId, NodeId)> {
        let node = |id: NodeId| &self.nodes[id as usize];
        let Node::Tuple(arguments) = node(arguments) else { return Vec::new() };
        for argument in arguments {
            match node(*argument) {
                Node::Dict(entries) => return entries.clone(),
                Node::List(items) => {
                    return items
                        .iter()
                        .filter_map(|item| match node(*item) {
                            Node::List(pair) | Node::Tuple(pair) => Some((*pair.first()?, *pair.get(1)?)),
                            _ => None,
                        })
                        .collect();
                }
                _ => {}
            }
        }
        Vec::new()
    }

    fn take(&mut self, count: usize) -> Result<Range<usize>, PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.input.len());
        let end = end.ok_or(PickleError::Truncated { at: self.at })?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        let range = self.take(1)?;
        Ok(self.input[range.start])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let range = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.input[range]);
        Ok(array)
    }

    /// A little-endian length of N bytes. A length beyond the address space is cut to its end, where `take` refuses.
    fn length<const N: usize>(&mut self) -> Result<usize, PickleError> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.array::<N>()?);
        Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<Range<usize>, PickleError> {
        let rest = &self.input[self.at..];
        let length =
            rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::Truncated { at: self.at })?;
        let range = self.take(length)?;
        self.at += 1;
        Ok(range)
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        if self.nodes.len() >= MAX_NODES {
            return Err(PickleError::TooLarge { limit: MAX_NODES, what: "values" }.into());
        }
        self.stack.push(self.nodes.len() as NodeId);
        self.nodes.push(node);
        Ok(())
    }

    fn push_int<const N: usize>(&mut self, decode: impl Fn([u8; N]) -> i64) -> Result<(), Fault> {
        let value = decode(self.array()?);
        self.push(Node::Int(value))
    }

    fn push_long(&mut self, length: usize) -> Result<(), Fault> {
        let range = self.take(length)?;
        let bytes = &self.input[range.clone()];
        if bytes.len() > 8 {
            return self.push(Node::BigInt(range));
        }
        let negative = bytes.last().is_some_and(|byte| *byte & 0x80 != 0);
        let mut extended = [if negative { 0xff } else { 0 }; 8];
        extended[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(extended)))
    }

    fn push_text<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.length::<N>()?;
        let range = self.take(length)?;
        self.push(Node::Text(range))
    }

    fn push_bytes<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.length::<N>()?;
        self.take(length)?;
        self.push(Node::Bytes)
    }

    /// The one value that a finished pickle leaves: with more, parsers would differ on which it is.
    fn stop(&mut self) -> Result<NodeId, Fault> {
        let root = self.pop()?;
        if self.stack.is_empty() && self.marks.is_empty() { Ok(root) } else { Err(Fault::Stack) }
    }

    /// Nodes below the innermost mark belong to an unfinished container and cannot be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<NodeId, Fault> {
        self.stack[self.floor()..].last().copied().ok_or(Fault::Stack)
    }

    fn pop(&mut self) -> Result<NodeId, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_or_mark(&mut self) -> Result<(), Fault> {
        if self.stack.len() == self.floor() {
            self.marks.pop().map(drop).ok_or(Fault::Stack)
        } else {
            self.pop()?;
            Ok(())
        }
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, Fault> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        Ok(self.stack.split_off(start.ok_or(Fault::Stack)?))
    }

    fn pop_mark(&mut self) -> Result<Vec<NodeId>, Fault> {
        let mark = self.marks.pop().ok_or(Fault::Stack)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_text(&mut self) -> Result<Range<usize>, Fault> {
        let id = self.pop()?;
        match &self.nodes[id as usize] {
            Node::Text(range) => Ok(range.clone()),
            _ => Err(Fault::Stack),
        }
    }

    fn extend_list(&mut self, items: Vec<NodeId>) -> Result<(), Fault> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::List(list) => list.extend(items),
            Node::Call { .. } | Node::Set => {} // a subclass of list: opaque
            _ => return Err(Fault::Stack),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[NodeId]) -> Result<(), Fault> {
        let target = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(Fault::Stack);
        }
        match &mut self.nodes[target as usize] {
            Node::Dict(entries) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Node::Call { .. } => {} // a subclass of dict: opaque
            _ => return Err(Fault::Stack),
        }
        Ok(())
    }

    fn put(&mut self, index: usize) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(u32::try_from(index).map_err(|_| Fault::Stack)?, top);
        Ok(())
    }

    fn put_length<const N: usize>(&mut self) -> Result<(), Fault> {
        let index = self.length::<N>()?;
        self.put(index)
    }

    fn get_length<const N: usize>(&mut self) -> Result<(), Fault> {
        let index = self.length::<N>()? as u32;
        let node = self.memo.get(&index).copied().ok_or(Fault::Stack)?;
        self.stack.push(node);
        Ok(())
    }
}

impl Pickle<'_> {
    /// The node at `id`.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// Text of a range of the input; Python 2 wrote byte strings, so what is not UTF-8 is shown, never trusted.
    pub(crate) fn text(&self, range: &Range<usize>) -> String {
        String::from_utf8_lossy(&self.input[range.clone()]).into_owned()
    }

    /// `module.name` of a global, else a description.
    pub(crate) fn callable_name(&self, id: NodeId) -> String {
        match self.node(id) {
            Node::Global { module, name } => global_name(self.input, module, name),
            _ => "a computed value".into(),
        }
    }
}

/// `module.name`, escaped because messages show it, and cut because one long name may be called a million times.
fn global_name(input: &[u8], module: &Range<usize>, name: &Range<usize>) -> String {
    let text = |range: &Range<usize>| {
        let bytes = &input[range.clone()];
        shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME)]))
    };
    format!("{}.{}", text(module), text(name))
}
