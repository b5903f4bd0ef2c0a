//! A SQLite VFS (<https://www.sqlite.org/vfs.html>) that passes every call on to the operating
//! system's, and records the calls that change files.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};

use libsqlite3_sys::{
    SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use crate::Operation;

static OPERATIONS: Mutex<Vec<Operation>> = Mutex::new(Vec::new());

/// Starts recording what this process's new connections do to databases and write-ahead logs.
pub fn record() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: null asks for the default, which lives as long as the process.
        let real = unsafe { sqlite3_vfs_find(std::ptr::null()) };
        assert!(!real.is_null(), "SQLite has a file system");
        // SAFETY: it is not null, and is not changed once it is registered.
        let mut layer = unsafe { *real };
        let name = CString::new("recording").expect("no NUL");
        layer.szOsFile += c_int::try_from(size_of::<File>()).expect("a few bytes");
        layer.pNext = std::ptr::null_mut();
        layer.zName = name.into_raw();
        // `open` and `delete` find the real VFS here. Its other functions do not use it.
        layer.pAppData = real.cast();
        layer.xOpen = Some(open);
        layer.xDelete = Some(delete);
        // SAFETY: the structure and its name are never freed.
        let registered = unsafe { sqlite3_vfs_register(Box::into_raw(Box::new(layer)), 1) };
        assert_eq!(registered, SQLITE_OK);
    });
}

/// The operations so far, in order.
pub fn operations() -> Vec<Operation> {
    OPERATIONS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Adds a note to the operations.
pub fn note(number: usize) {
    remember(Operation::Note(number));
}

fn remember(operation: Operation) {
    OPERATIONS.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
}

/// An open file. The real one follows it in the same memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// From `Box::into_raw`. Null for files that are not recorded.
    name: *mut Arc<Path>,
}

/// The real file.
///
/// # Safety
/// `file` must have been opened by [`open`].
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` has room for both.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// # Safety
/// `file` must have been opened by [`open`].
unsafe fn name(file: *mut sqlite3_file) -> Option<Arc<Path>> {
    // SAFETY: the name lives until the file is closed, and SQLite uses it by one thread at a time.
    unsafe { (*file.cast::<File>()).name.as_ref().cloned() }
}

unsafe extern "C" fn open(
    layer: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let ours = file.cast::<File>();
    // SAFETY: SQLite gives `szOsFile` bytes of memory and the layer that was registered.
    let opened = unsafe {
        (*ours).base.pMethods = std::ptr::null();
        (*ours).name = std::ptr::null_mut();
        let below = (*layer).pAppData.cast::<sqlite3_vfs>();
        let open_below = (*below).xOpen.expect("every file system opens files");
        open_below(below, path, real(file), flags, flags_out)
    };
    if opened != SQLITE_OK {
        return opened;
    }
    // SAFETY: as above; a name that is not null ends with NUL.
    unsafe {
        if flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL) != 0 && !path.is_null() {
            (*ours).name = Box::into_raw(Box::new(path_of(path)));
        }
        (*ours).base.pMethods = &METHODS;
    }
    SQLITE_OK
}

unsafe extern "C" fn delete(layer: *mut sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite gives the layer that was registered, and a name that ends with NUL.
    unsafe {
        remember(Operation::Remove { file: path_of(path) });
        let below = (*layer).pAppData.cast::<sqlite3_vfs>();
        (*below).xDelete.expect("every file system removes files")(below, path, sync)
    }
}

/// # Safety
/// `path` must end with NUL.
unsafe fn path_of(path: *const c_char) -> Arc<Path> {
    // SAFETY: it does.
    let path = unsafe { CStr::from_ptr(path) };
    Path::new(OsStr::from_bytes(path.to_bytes())).into()
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes and a file that `open` has opened.
    unsafe {
        if let Some(file) = name(file) {
            let count = usize::try_from(length).unwrap_or(0);
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), count).into();
            remember(Operation::Write { file, offset: offset.cast_unsigned(), bytes });
        }
        below(file).xWrite.expect("files can be written")(real(file), bytes, length, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives a file that `open` has opened.
    unsafe {
        if let Some(file) = name(file) {
            remember(Operation::Truncate { file, length: length.cast_unsigned() });
        }
        below(file).xTruncate.expect("files can be cut")(real(file), length)
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite gives a file that `open` has opened.
    let (synced, name) = unsafe {
        let synced = below(file).xSync.expect("files can be synced")(real(file), flags);
        (synced, name(file))
    };
    if let (SQLITE_OK, Some(file)) = (synced, name) {
        remember(Operation::Sync { file });
    }
    synced
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let ours = file.cast::<File>();
    // SAFETY: SQLite closes a file that `open` has opened, once.
    unsafe {
        let closed = below(file).xClose.expect("files can be closed")(real(file));
        if !(*ours).name.is_null() {
            drop(Box::from_raw((*ours).name));
        }
        closed
    }
}

/// The functions of the real file.
///
/// # Safety
/// `file` must have been opened by [`open`].
unsafe fn below(file: *mut sqlite3_file) -> &'static sqlite3_io_methods {
    // SAFETY: an open file has a table of functions, which is static.
    unsafe { &*(*real(file)).pMethods }
}

/// A function that only passes on what it is given.
macro_rules! passed_on {
    ($name:ident, $method:ident, ($($argument:ident: $type:ty),*) $(-> $answer:ty)?) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) $(-> $answer)? {
            // SAFETY: SQLite gives a file that `open` has opened, and the rest is for the real one.
            unsafe { below(file).$method.expect("there on Unix")(real(file) $(, $argument)*) }
        }
    };
}

passed_on!(read, xRead, (bytes: *mut c_void, length: c_int, offset: sqlite3_int64) -> c_int);
passed_on!(file_size, xFileSize, (size: *mut sqlite3_int64) -> c_int);
passed_on!(lock, xLock, (level: c_int) -> c_int);
passed_on!(unlock, xUnlock, (level: c_int) -> c_int);
passed_on!(check_reserved_lock, xCheckReservedLock, (answer: *mut c_int) -> c_int);
passed_on!(file_control, xFileControl, (operation: c_int, argument: *mut c_void) -> c_int);
passed_on!(sector_size, xSectorSize, () -> c_int);
passed_on!(device_characteristics, xDeviceCharacteristics, () -> c_int);
passed_on!(
    shm_map,
    xShmMap,
    (page: c_int, size: c_int, extend: c_int, memory: *mut *mut c_void) -> c_int
);
passed_on!(shm_lock, xShmLock, (offset: c_int, count: c_int, flags: c_int) -> c_int);
passed_on!(shm_barrier, xShmBarrier, ());
passed_on!(shm_unmap, xShmUnmap, (remove: c_int) -> c_int);
passed_on!(fetch, xFetch, (offset: sqlite3_int64, size: c_int, memory: *mut *mut c_void) -> c_int);
passed_on!(unfetch, xUnfetch, (offset: sqlite3_int64, memory: *mut c_void) -> c_int);

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
