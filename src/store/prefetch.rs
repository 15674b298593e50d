//! Asks the processor for memory that will soon be read, so that several misses are waited for together.

/// Bytes that come at one time.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Asks for the memory of these elements. A hint: nothing is read, and it never fails.
#[inline]
pub fn prefetch<T>(elements: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = elements.as_ptr().cast::<i8>();
        for offset in (0..size_of_val(elements)).step_by(LINE) {
            // SAFETY: a prefetch reads nothing and cannot fault, whatever the address; this one lies inside
            // of the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    core::hint::black_box(elements.first().is_some());
}
