#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace oncegate {

enum class StatusCode {
  kOk,
  kInvalidArgument,  // the caller's input cannot be accepted; the message says what would be right
  kNotFound,
  kConflict,     // somebody else holds what was asked for, or the claim was lost
  kUnavailable,  // cannot answer now; trying again later may work
  kBusy,         // is at something that soon ends; trying again will work
  kCorruption,   // stored bytes are not what was written
  kNoSpace,      // the disk is full or nearly so
  kInternal,
};

// The outcome of an operation that may fail: a code for programs and a message for people. Cheap when ok.
// Immutable apart from assignment; distinct objects may be used from any thread.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const { return code_ == StatusCode::kOk; }
  [[nodiscard]] StatusCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() {
  return {};
}
inline Status InvalidArgument(std::string message) {
  return {StatusCode::kInvalidArgument, std::move(message)};
}
inline Status NotFound(std::string message) {
  return {StatusCode::kNotFound, std::move(message)};
}
inline Status Conflict(std::string message) {
  return {StatusCode::kConflict, std::move(message)};
}
inline Status Busy(std::string message) {
  return {StatusCode::kBusy, std::move(message)};
}
inline Status Unavailable(std::string message) {
  return {StatusCode::kUnavailable, std::move(message)};
}
inline Status Corruption(std::string message) {
  return {StatusCode::kCorruption, std::move(message)};
}
inline Status NoSpace(std::string message) {
  return {StatusCode::kNoSpace, std::move(message)};
}
inline Status Internal(std::string message) {
  return {StatusCode::kInternal, std::move(message)};
}

// A value, or the Status that says why there is none. `value()` REQUIRES `ok()`.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::move(value)) {}         // NOLINT(google-explicit-constructor): reads as `return value;`
  Result(Status status) : held_(std::move(status)) {}  // NOLINT(google-explicit-constructor): reads as `return error;`

  [[nodiscard]] bool ok() const { return std::holds_alternative<T>(held_); }
  [[nodiscard]] Status status() const { return ok() ? OkStatus() : std::get<Status>(held_); }
  [[nodiscard]] const T& value() const& { return std::get<T>(held_); }
  [[nodiscard]] T& value() & { return std::get<T>(held_); }
  [[nodiscard]] T&& value() && { return std::get<T>(std::move(held_)); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

 private:
  std::variant<T, Status> held_;
};

}  // namespace oncegate
