//! Where the metadata lies: one image file in the data folder, replaced as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_core::metadata::Image;

use crate::outside::Outside;
use crate::storage::{self, StorageError, ValueError};

/// The folder of the metadata within the data folder.
const FOLDER: &str = "metadata";
/// The image's file name.
const FILE: &str = "image";

/// Loads and saves the metadata image.
#[derive(Clone)]
pub struct MetadataStore {
    outside: Outside,
    folder: PathBuf,
}

impl MetadataStore {
    /// Opens the store in a data folder and loads what it holds; an empty image if there is none yet.
    ///
    /// # Errors
    /// The folder cannot be read or made, or the image is damaged: a node must not guess its metadata.
    pub fn open(outside: &Outside, data: &Path) -> Result<(MetadataStore, Image), ValueError> {
        let folder = data.join(FOLDER);
        storage::make_folder(&*outside.disk, &folder)?;
        let image = storage::load_value::<Image>(&*outside.disk, &folder.join(FILE))?.unwrap_or_default();
        Ok((MetadataStore { outside: outside.clone(), folder }, image))
    }

    /// Replaces the image; returns once the new one is durable.
    ///
    /// # Errors
    /// What the disk says; the old image is then still in place.
    pub async fn save(&self, image: &Image) -> Result<(), StorageError> {
        let (disk, folder, image) = (Arc::clone(&self.outside.disk), self.folder.clone(), image.clone());
        self.outside.on_worker(move || storage::save_value(&*disk, &folder.join(FILE), &image)).await
    }
}
