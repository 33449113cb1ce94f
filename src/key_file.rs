//! A key file: a file with the keys, which is read again when it changes.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::token::{KeyError, Keyring, LONGEST_KEY_SET};

/// Why the keys of a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("the key file {path:?} cannot be read")]
    Read {
        /// The path.
        path: PathBuf,
        /// Why the file cannot be read.
        source: io::Error,
    },
    /// The file cannot be a key file: it is a folder or a pipe, is too long, or is not text.
    #[error("{path:?} is no key file: {problem}")]
    NoKeyFile {
        /// The path.
        path: PathBuf,
        /// What is wrong with the file.
        problem: &'static str,
    },
    /// The content is not a valid key ring. The source says why.
    #[error("the key file {path:?} has no valid key ring")]
    Keys {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// A file with a JWK Set that contains the [key ring](Keyring::from_jwks). Sessions that are built with a key file
/// follow its changes: they read the file about twice a second. If the content has changed, the new ring is put in
/// force.
///
/// ```no_run
/// # fn sessions() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_sliding_sessions::{KeyFile, Sessions};
/// let sessions: Sessions = Sessions::builder(KeyFile::open("/run/secrets/keys/keys.json")?).build()?;
/// # Ok(()) }
/// ```
///
/// If the file cannot be read, is half-written or contains a mistake, nothing changes: the keys in force stay. The
/// event is [`KeyFileFailed`](crate::EventKind::KeyFileFailed), once per mistake. If the file has changed and is valid,
/// the event is [`KeysChanged`](crate::EventKind::KeysChanged).
///
/// A key that is no longer in the file is [pulled](Keyring::pull). A key with `"step": "pulled"` is pulled, too.
///
/// The content of the file is compared. So a swapped symbolic link is noticed, for example of a Kubernetes secret. If
/// possible, write a new file and rename it.
#[doc(alias = "Kubernetes")]
#[doc(alias = "hot reload")]
pub struct KeyFile {
    path: PathBuf,
    content: Content,
    keys: Keyring,
}

/// A hash of a file's content. It identifies the content.
pub(crate) type Content = [u8; 32];

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file cannot be read or contains no valid ring.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let path = path.into();
        let text = read(&path)?;
        let keys = parse(&path, &text)?;
        Ok(Self { content: Sha256::digest(&*text).into(), path, keys })
    }

    /// The keys that the file contained when it was opened.
    #[must_use]
    pub const fn keys(&self) -> &Keyring {
        &self.keys
    }

    pub(crate) fn watched(self) -> WatchedFile {
        WatchedFile { path: self.path, content: self.content, fault: None }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// A key file, and the result of its last reading.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    /// The content of the ring in force.
    content: Content,
    /// What was wrong with the file at the last reading. `None` if nothing was wrong.
    fault: Option<String>,
}

impl WatchedFile {
    /// Reads the file again. Returns `None` if the file contains the ring in force, or has the same fault as at the
    /// last reading. The caller puts a returned ring in force, and then calls [`set_in_force`](Self::set_in_force).
    pub(crate) fn read_again(&mut self) -> Option<Result<(Keyring, Content), KeyFileError>> {
        match self.changed() {
            Ok(keys) => {
                self.fault = None;
                keys.map(Ok)
            }
            Err(error) => {
                let fault =
                    format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
                let is_news = self.fault.as_ref() != Some(&fault);
                self.fault = Some(fault);
                is_news.then_some(Err(error))
            }
        }
    }

    /// Notes that the ring with this content is in force.
    pub(crate) const fn set_in_force(&mut self, content: Content) {
        self.content = content;
    }

    fn changed(&self) -> Result<Option<(Keyring, Content)>, KeyFileError> {
        let text = read(&self.path)?;
        let content: Content = Sha256::digest(&*text).into();
        if content == self.content {
            return Ok(None);
        }
        Ok(Some((parse(&self.path, &text)?, content)))
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let refused = |problem| KeyFileError::NoKeyFile { path: path.to_owned(), problem };
    // Do not open a pipe: opening would block until a writer opens the pipe.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    // The buffer has room for the whole text. So it never grows, and no copy of a part stays in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST_KEY_SET + 1));
    file.take(LONGEST_KEY_SET as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > LONGEST_KEY_SET {
        return Err(refused("it is longer than 65536 bytes"));
    }
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<Keyring, KeyFileError> {
    let refused = |problem| KeyFileError::NoKeyFile { path: path.to_owned(), problem };
    let text = str::from_utf8(text).map_err(|_| refused("it is not UTF-8"))?;
    Keyring::from_jwks(text).map_err(|source| KeyFileError::Keys { path: path.to_owned(), source })
}

/// Where the keys of [`Sessions`](crate::Sessions) come from.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// A ring. The application changes the ring by [`Sessions::set_keys`](crate::Sessions::set_keys).
    Keyring(Keyring),
    /// A key file. Its changes are followed.
    File(KeyFile),
}

impl From<Keyring> for KeySource {
    fn from(keys: Keyring) -> Self {
        Self::Keyring(keys)
    }
}

impl From<KeyFile> for KeySource {
    fn from(file: KeyFile) -> Self {
        Self::File(file)
    }
}
