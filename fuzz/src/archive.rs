//! A PyTorch archive around any pickle, so that what is fuzzed is the pickle and not the zip.

/// `archive/data.pkl` and two storages, stored, without checksums (which are not read).
pub fn around(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = (0..64).collect();
    let entries: [(&str, &[u8]); 3] =
        [("archive/data.pkl", pickle), ("archive/data/0", &storage), ("archive/data/1", &storage)];
    let mut archive = Vec::with_capacity(pickle.len() + 1024);
    let mut directory = Vec::new();
    for (name, data) in entries {
        let offset = archive.len() as u32;
        archive.extend(b"PK\x03\x04");
        let header = common(name, data);
        archive.extend(&header);
        archive.extend(name.as_bytes());
        archive.extend(data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        directory.extend([0; 10]); // comment, disk, attributes
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = archive.len() as u32;
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0\x03\0\x03\0");
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

/// What the local header and the directory say alike: version, flags, method, time, checksum, sizes, length of the name.
fn common(name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0];
    header.extend((data.len() as u32).to_le_bytes());
    header.extend((data.len() as u32).to_le_bytes());
    header.extend((name.len() as u16).to_le_bytes());
    header.extend([0; 2]);
    header
}
