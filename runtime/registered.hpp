// What an executor knows of those that have to do with its turns and its end: lists of them, which they leave when they die.
#pragma once

#include <chainring/runtime/audit.hpp>
#include <chainring/runtime/intrusive_list.hpp>
#include <chainring/runtime/kernel.hpp>

#include <string>

namespace chainring {

struct turn_end_tag;

// Has something to submit when the turn's coroutines have run.
class turn_end_work : public list_node<turn_end_tag> {
  public:
    virtual void at_turn_end() noexcept = 0;

  protected:
    ~turn_end_work() = default;
};

struct resource_tag;

// Holds a descriptor for the executor's user, and must not outlive the ring.
class resource : public list_node<resource_tag> {
  public:
    // The executor ends: give the descriptor up now. After a shutdown that took too long: whatever that loses.
    virtual void abandon() noexcept = 0;

    // Adds what it holds.
    virtual void count(holdings& total) const noexcept = 0;
    // Its own accounts agree with what it holds.
    virtual bool consistent() const noexcept { return true; }
    // Which one it is, what it holds and since when, for people.
    virtual std::string describe(time_point now) const = 0;

  protected:
    ~resource() = default;
};

struct intake_tag;

// Something that takes new work in: it ends when a shutdown begins.
class intake : public list_node<intake_tag> {
  public:
    virtual void stop() noexcept = 0; // called once; it is in no list then

  protected:
    ~intake() = default;
};

} // namespace chainring
