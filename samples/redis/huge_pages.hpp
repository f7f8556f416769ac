// huge_pages: memory of which one entry of the processor's table of addresses covers 2 MiB, where the system gives such memory.
//
// With many keys, the places of a look-up lie anywhere: with pages of 4 KiB nearly every one costs a walk through tables of pages,
// before the memory itself is waited for.
#pragma once

#include <memory_resource>

namespace redis {

// Pieces of less than a huge page come from the heap.
std::pmr::memory_resource& huge_pages();

} // namespace redis
