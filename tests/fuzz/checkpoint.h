/* Checkpoints against cnnrt_fit, which resumes a model of a few numbers. */
#ifndef TESTS_FUZZ_CHECKPOINT_H
#define TESTS_FUZZ_CHECKPOINT_H

#include <stddef.h>

/* Gives a checkpoint, whole or damaged, the header's length and the checksum that fit it. */
void checkpoint_mend(unsigned char *file, size_t size);
/* Resumes the run of `path`, which makes one when there is none. *fault is set when the state is half loaded.
 */
int checkpoint_resume(const char *path, char *why, size_t why_size, const char **fault);

#endif
