//! Opens a folder or a file with one model's weights: headers only, no tensor data.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::ModelConfig;
use crate::index::{self, Index};
use crate::sniff::{FileFormat, HEAD, sniff};
use crate::tensor::Storage;
use crate::{Access, Error, Files, LocalFiles, Source, TensorInfo, TensorView};
use crate::{local, safetensors, source, torch};

/// Weight files of a folder, in the order of preference.
pub const PREFERENCE: [&str; 4] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
];

/// One model's weights: its files opened, its tensors listed, nothing loaded.
#[derive(Debug)]
pub struct Checkpoint {
    files: Arc<dyn Files>,
    path: PathBuf,
    took: PathBuf,
    also_present: Vec<PathBuf>,
    config: ModelConfig,
    shards: Vec<Box<dyn Source>>,
    tensors: Vec<TensorInfo>,
    unsupported: Vec<UnsupportedTensor>,
    by_name: HashMap<String, usize>,
    ignored_calls: BTreeSet<String>,
}

/// An entry of a checkpoint that cannot be read as a tensor, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedTensor {
    /// Name as stored.
    pub name: String,
    /// Shape, where the file states one.
    pub shape: Option<Vec<usize>>,
    /// What it is: `dtype torch.complex64`, `sparse tensor (…)`, …
    pub reason: String,
    pub(crate) shard: usize,
}

/// What one weight file holds.
#[derive(Debug, Default)]
pub(crate) struct ShardContents {
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) unsupported: Vec<UnsupportedTensor>,
    /// What a pickle asked to call outside the tensors.
    pub(crate) ignored_calls: BTreeSet<String>,
}

impl ShardContents {
    /// Reads the headers of a weight file of any format.
    pub(crate) fn read(file: &dyn Source, shard: usize) -> Result<Self, Error> {
        let head = source::read(file, head(file))?;
        let contents = match sniff(file, &head)? {
            FileFormat::Safetensors => safetensors::read(file, &head, shard)?,
            FileFormat::TorchZip => torch::zip::read(file, shard)?,
            FileFormat::TorchLegacy => torch::legacy::read(file, &head, shard)?,
        };
        file.give_back(0..file.len());
        Ok(contents)
    }
}

impl Checkpoint {
    /// Opens a folder with weights, a weight file or an index file.
    ///
    /// A folder is searched for [`PREFERENCE`], in that order; [`Checkpoint::took`] says which was chosen and
    /// [`Checkpoint::also_present`] what else was there. A file's format is told by its content, not by its name.
    ///
    /// # Errors
    /// Every [`Error`]: a missing, truncated, foreign or malformed file, and a pickle that asks for code.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Access::default())
    }

    /// As [`Checkpoint::open`], with a choice of how files are read.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with(path: impl AsRef<Path>, access: Access) -> Result<Self, Error> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { path: path.into() },
            _ => Error::Io { path: path.into(), source },
        })?;
        if metadata.is_dir() {
            return Self::open_in(Arc::new(LocalFiles::new(path, access)), None);
        }
        let files = LocalFiles::new(path.parent().unwrap_or(Path::new("")), access);
        Self::assemble(Arc::new(files), path.into(), local::open(path, access)?, Vec::new())
    }

    /// Opens a weight or index file of any place, or the one that [`PREFERENCE`] chooses there.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_in(files: Arc<dyn Files>, file: Option<&str>) -> Result<Self, Error> {
        let (took, also_present) = match file {
            Some(name) => (name, Vec::new()),
            None => choose(&*files)?,
        };
        let path = files.path_of(file.unwrap_or_default());
        let took = files.open(took)?;
        Self::assemble(files, path, took, also_present)
    }

    fn assemble(
        files: Arc<dyn Files>,
        path: PathBuf,
        took: Box<dyn Source>,
        also_present: Vec<PathBuf>,
    ) -> Result<Self, Error> {
        let is_index = took.path().extension().is_some_and(|extension| extension == "json");
        let index = if is_index { Some(index::read(&*took)?) } else { None };
        let took_path = took.path().to_path_buf();
        let shards = match &index {
            Some(index) => index.open_shards(&*files)?,
            None => vec![took],
        };

        let mut checkpoint = Self {
            config: ModelConfig::of(&*files)?,
            files,
            path,
            took: took_path,
            also_present,
            shards,
            tensors: Vec::new(),
            unsupported: Vec::new(),
            by_name: HashMap::new(),
            ignored_calls: BTreeSet::new(),
        };
        let mut names: HashMap<String, usize> = HashMap::new();
        for shard in 0..checkpoint.shards.len() {
            checkpoint.read_shard(shard, index.as_ref(), &mut names)?;
        }
        if let Some(index) = &index {
            for (tensor, shard) in &index.tensors {
                if names.get(tensor) != Some(shard) {
                    let shard = checkpoint.file_name(*shard);
                    return Err(Error::NotInShard {
                        index: index.path.clone(),
                        tensor: tensor.clone(),
                        shard,
                    });
                }
            }
        }
        if checkpoint.tensors.is_empty() && checkpoint.unsupported.is_empty() {
            return Err(Error::NoTensors { path: checkpoint.took });
        }
        checkpoint.by_name =
            checkpoint.tensors.iter().enumerate().map(|(i, tensor)| (tensor.name.clone(), i)).collect();
        Ok(checkpoint)
    }

    fn read_shard(
        &mut self,
        shard: usize,
        index: Option<&Index>,
        names: &mut HashMap<String, usize>,
    ) -> Result<(), Error> {
        self.ask_for_heads(shard);
        let contents = match ShardContents::read(&*self.shards[shard], shard) {
            // It is seldom the only one: all that are damaged are named at once.
            Err(error)
                if error.is_damage()
                    && let Some(index) = index =>
            {
                return Err(index.damaged(Vec::new(), &self.shards[shard..]).unwrap_or(error));
            }
            contents => contents?,
        };
        self.ignored_calls.extend(contents.ignored_calls);
        // Of a name in several shards the index says which one counts; without its word nobody can tell.
        let mut wanted = |name: &str| -> Result<bool, Error> {
            if let Some(chosen) = index.and_then(|index| index.tensors.get(name))
                && *chosen != shard
            {
                return Ok(false);
            }
            match names.insert(name.to_owned(), shard) {
                None => Ok(true),
                Some(first) => Err(Error::DuplicateTensor {
                    tensor: name.to_owned(),
                    first: self.shards[first].path().into(),
                    second: self.shards[shard].path().into(),
                }),
            }
        };
        for tensor in contents.tensors {
            if wanted(&tensor.name)? {
                self.tensors.push(tensor);
            }
        }
        for tensor in contents.unsupported {
            if wanted(&tensor.name)? {
                self.unsupported.push(tensor);
            }
        }
        Ok(())
    }

    /// Asks for the beginnings of the next shards where answers take long, so that they arrive side by side.
    fn ask_for_heads(&self, shard: usize) {
        const AHEAD: usize = 16;
        let asked = if shard == 0 { 1..AHEAD } else { shard + AHEAD - 1..shard + AHEAD };
        for file in asked.filter_map(|next| self.shards.get(next)) {
            if file.worth_reading_through() > 0 {
                file.will_need(head(&**file));
            }
        }
    }

    fn file_name(&self, shard: usize) -> String {
        self.shards[shard].path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The weight or index file that was used.
    #[must_use]
    pub fn took(&self) -> &Path {
        &self.took
    }

    /// Other weight files of the folder, which were not used.
    #[must_use]
    pub fn also_present(&self) -> &[PathBuf] {
        &self.also_present
    }

    /// What the `config.json` beside the weights says; empty where there is none.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The weight files.
    #[must_use]
    pub fn shards(&self) -> &[Box<dyn Source>] {
        &self.shards
    }

    /// A small file beside the weights, such as `config.json`; `None` if it is not there.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.files.read(name)
    }

    /// What messages call a file beside the weights, there or not.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.files.path_of(name)
    }

    /// All tensors in storage order: shard by shard, by offset.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Entries that are no dense tensors of a known dtype.
    #[must_use]
    pub fn unsupported(&self) -> &[UnsupportedTensor] {
        &self.unsupported
    }

    /// Callables that its pickles ask for outside the tensors, such as `argparse.Namespace` in a training checkpoint.
    /// Nothing was called; a name that does not belong there is a reason not to trust the file elsewhere.
    #[must_use]
    pub fn ignored_calls(&self) -> &BTreeSet<String> {
        &self.ignored_calls
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|index| &self.tensors[*index])
    }

    /// The file that a tensor lies in.
    #[must_use]
    pub fn file_of(&self, tensor: &TensorInfo) -> &Path {
        self.shards[tensor.shard].path()
    }

    /// The file that an unsupported entry lies in.
    #[must_use]
    pub fn file_of_unsupported(&self, tensor: &UnsupportedTensor) -> &Path {
        self.shards[tensor.shard].path()
    }

    /// A tensor's data, read; borrowed from the map where the file is mapped. Of a deflated zip entry (PyTorch never
    /// writes one) only the tensor's own bytes are kept. The tensor must be one that this checkpoint lists, or a slice of
    /// one.
    ///
    /// # Errors
    /// [`Error::Deflated`] if such an entry is damaged; [`Error::Io`], [`Error::Changed`].
    pub fn view<'a>(&'a self, tensor: &'a TensorInfo) -> Result<TensorView<'a>, Error> {
        let file = &*self.shards[tensor.shard];
        let mut bytes = source::read(file, stored_range(tensor))?;
        if let Storage::Deflated { start, .. } = tensor.storage {
            bytes = Cow::Owned(torch::zip::inflate_range(file, &bytes, start, tensor.extent())?);
        }
        Ok(TensorView { dtype: tensor.dtype, shape: &tensor.shape, strides: &tensor.strides, bytes })
    }

    /// True if [`Checkpoint::read_into`] reads any part of a tensor at little more than the cost of its bytes, however
    /// often: it lies contiguous in a file on disk that is not mapped.
    #[must_use]
    pub fn reads_in_parts(&self, tensor: &TensorInfo) -> bool {
        matches!(tensor.storage, Storage::Stored { .. })
            && tensor.is_contiguous()
            && self.shards[tensor.shard].reads_in_parts()
    }

    /// The bytes of a tensor from `start` on that fill `out`, counted as they are stored. The tensor must not be deflated.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Changed`].
    pub fn read_into(&self, tensor: &TensorInfo, start: usize, out: &mut [u8]) -> Result<(), Error> {
        let (file, range) = (&*self.shards[tensor.shard], stored_range(tensor));
        let within = start.checked_add(out.len()).is_some_and(|end| end <= range.len());
        let read = if within {
            file.read_into(range.start + start, out)
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        };
        read.map_err(|error| source::named(file, error))
    }

    /// Sees that all weight files are still what was opened.
    ///
    /// # Errors
    /// [`Error::Changed`] for one that is not; [`Error::Io`].
    pub fn unchanged(&self) -> Result<(), Error> {
        self.shards
            .iter()
            .try_for_each(|file| file.unchanged().map_err(|error| source::named(&**file, error)))
    }

    /// Asks for a tensor ahead of its use.
    pub fn will_need(&self, tensor: &TensorInfo) {
        self.shards[tensor.shard].will_need(stored_range(tensor));
    }

    /// Gives a tensor's mapped pages back after its use.
    pub fn give_back(&self, tensor: &TensorInfo) {
        self.shards[tensor.shard].give_back(stored_range(tensor));
    }
}

/// Bytes that are read first.
fn head(file: &dyn Source) -> Range<usize> {
    0..file.len().min(HEAD)
}

/// Bytes of the file that hold a tensor.
fn stored_range(tensor: &TensorInfo) -> Range<usize> {
    match tensor.storage {
        Storage::Stored { start } => start..start + tensor.extent(),
        Storage::Deflated { compressed_start, compressed_len, .. } => {
            compressed_start..compressed_start + compressed_len
        }
    }
}

/// The preferred weight file of a place, and the others that are there.
fn choose(files: &dyn Files) -> Result<(&'static str, Vec<PathBuf>), Error> {
    let mut present = PREFERENCE.into_iter().filter(|name| files.has(name));
    match present.next() {
        Some(took) => Ok((took, present.map(|name| files.path_of(name)).collect())),
        None => Err(Error::NoWeights { path: files.path_of("") }),
    }
}
