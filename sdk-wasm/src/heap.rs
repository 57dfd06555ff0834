//! Where a plugin's allocations come from: first from memory that the instance begins with.
//!
//! The standard library's allocator begins with nothing and asks for memory to be grown at the first allocation. A
//! node then changes the protection of pages for every fresh instance, there and back, which costs more than a small
//! call. So this is the same allocator (dlmalloc) on a first piece that is part of the component's own memory: zeros
//! that take no room in its file, and pages that a node keeps from instance to instance.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

use dlmalloc::{Allocator, Dlmalloc};

/// Room for a batch of a megabyte and what is made of most of it. More is grown as everywhere.
const FIRST_BYTES: usize = 2 << 20;
const PAGE_BYTES: usize = 64 * 1024;

#[repr(align(16))]
struct First(UnsafeCell<[u8; FIRST_BYTES]>);

// SAFETY: a component has one thread.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new([0; FIRST_BYTES]));

/// Memory in large pieces.
struct Pieces {
    is_first_taken: Cell<bool>,
}

// SAFETY: what is handed out was handed to nobody before: the first piece once, later ones fresh from `memory.grow`.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl Allocator for Pieces {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= FIRST_BYTES && !self.is_first_taken.replace(true) {
            return (FIRST.0.get().cast(), FIRST_BYTES, 0);
        }
        let pages = size.div_ceil(PAGE_BYTES);
        match core::arch::wasm32::memory_grow(0, pages) {
            usize::MAX => (ptr::null_mut(), 0, 0),
            before => (ptr::without_provenance_mut(before * PAGE_BYTES), pages * PAGE_BYTES, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}

struct Heap(UnsafeCell<Dlmalloc<Pieces>>);

// SAFETY: a component has one thread.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap =
    Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Pieces { is_first_taken: Cell::new(false) })));

// SAFETY: dlmalloc keeps this contract; no allocation is made within another, as there is one thread and dlmalloc
// itself allocates nothing.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), size) }
    }
}
