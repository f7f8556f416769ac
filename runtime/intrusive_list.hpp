// A doubly linked list whose links live in the elements: no allocation, and an element that dies leaves its
// list by itself, which is what makes destroying a suspended coroutine safe.
#pragma once

#include <cassert>
#include <type_traits>

namespace chainring {

template <class Tag> class list_node {
  public:
    list_node() noexcept = default;
    // Operations may move until they are awaited; from then on their address is known.
    list_node([[maybe_unused]] list_node&& other) noexcept { assert(!other.linked()); }
    list_node& operator=(list_node&&) = delete;
    ~list_node() { unlink(); }

    bool linked() const noexcept { return next_ != nullptr; }

    void unlink() noexcept {
        if (!linked()) return;
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = nullptr;
    }

  private:
    template <class T, class OtherTag> friend class intrusive_list;

    void link_before(list_node& other) noexcept {
        previous_ = other.previous_;
        next_ = &other;
        previous_->next_ = this;
        other.previous_ = this;
    }

    list_node* previous_; // means something while there is a next one
    list_node* next_ = nullptr;
};

// T derives from list_node<Tag>. The list owns nothing.
template <class T, class Tag> class intrusive_list {
    using node = list_node<Tag>;

  public:
    intrusive_list() noexcept { head_.previous_ = head_.next_ = &head_; }
    intrusive_list(const intrusive_list&) = delete;
    intrusive_list& operator=(const intrusive_list&) = delete;
    ~intrusive_list() {
        while (!empty()) head_.next_->unlink();
        head_.next_ = nullptr;
    }

    bool empty() const noexcept { return head_.next_ == &head_; }
    // Exactly one element.
    bool single() const noexcept { return head_.next_ != &head_ && head_.next_ == head_.previous_; }
    T& front() noexcept { return static_cast<T&>(*head_.next_); }
    T& back() noexcept { return static_cast<T&>(*head_.previous_); }

    // An element that is in another list of the same tag leaves that one.
    void push_back(T& element) noexcept {
        node& link = element;
        link.unlink();
        link.link_before(head_);
    }

    void push_front(T& element) noexcept {
        node& link = element;
        link.unlink();
        link.link_before(*head_.next_);
    }

    T& pop_front() noexcept {
        T& element = front();
        static_cast<node&>(element).unlink();
        return element;
    }

    // `replacement`, which is in no list, takes the place of `element`.
    static void replace(T& element, T& replacement) noexcept {
        node& old = element;
        node& link = replacement;
        link.link_before(*old.next_);
        old.unlink();
    }

    // Moves every element of `other` to the back of this list.
    void take_all(intrusive_list& other) noexcept {
        if (other.empty()) return;
        node* first = other.head_.next_;
        node* last = other.head_.previous_;
        other.head_.previous_ = other.head_.next_ = &other.head_;
        first->previous_ = head_.previous_;
        head_.previous_->next_ = first;
        last->next_ = &head_;
        head_.previous_ = last;
    }

    // The visitor may unlink the element it is given, and stops the walk by returning false.
    template <class Visitor> void for_each(Visitor&& visit) {
        for (node* at = head_.next_; at != &head_;) {
            node* following = at->next_;
            if constexpr (std::is_void_v<decltype(visit(static_cast<T&>(*at)))>)
                visit(static_cast<T&>(*at));
            else if (!visit(static_cast<T&>(*at)))
                return;
            at = following;
        }
    }

    template <class Visitor> void for_each(Visitor&& visit) const {
        for (const node* at = head_.next_; at != &head_; at = at->next_) visit(static_cast<const T&>(*at));
    }

  private:
    node head_;
};

} // namespace chainring
