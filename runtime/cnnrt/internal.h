/* What the files of cnnrt share; not installed. */
#ifndef CNNRT_INTERNAL_H
#define CNNRT_INTERNAL_H

#include "cnnrt.h"

/* CPUs that a container's quota allows, rounded up; UINT_MAX without one. `list` is the text of
 * /proc/self/cgroup, `mount` the folder where cgroups are mounted: a test has its own. */
unsigned cnnrt_cgroup_cpus(const char *list, const char *mount);

#endif
