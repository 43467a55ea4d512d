/* Something to be checked that needs no vector. */
#pragma once
#include <functional>
#include <string>

struct Check {
  std::string name;
  std::function<std::string()> run; /* empty, or what is wrong */
};
