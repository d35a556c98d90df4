/* Status codes in words. */
#include "cnnrt.h"

const char *cnnrt_strerror(int status) {
    static const char *const text[] = {
        [CNNRT_OK] = "success",
        [CNNRT_E_BATCH] = "the number of images is below 1 or above the compiled batch",
        [CNNRT_E_NULL] = "an input, output or workspace pointer is NULL",
        [CNNRT_E_WORKSPACE_SIZE] = "the workspace, weights or state block is too small",
        [CNNRT_E_WORKSPACE_ALIGN] = "the workspace or weights block is not 64-byte aligned",
        [CNNRT_E_CPU] = "this CPU lacks an instruction set the model was compiled for",
        [CNNRT_E_NO_WEIGHTS] = "no weights were given and the object holds none",
        [CNNRT_E_FILE] = "a file cannot be opened, read or written",
        [CNNRT_E_FORMAT] = "a file is damaged or of an unknown format",
        [CNNRT_E_MISSING] = "a tensor of the model is not in the file",
        [CNNRT_E_SHAPE] = "a tensor has another shape or type than the model's",
        [CNNRT_E_SYSTEM] = "out of memory, or a thread cannot be made",
        [CNNRT_E_ABI] = "object and runtime library are of different versions",
        [CNNRT_E_LABEL] = "a label is none of the model's classes",
        [CNNRT_E_BATCH_NORM] = "a batch norm has one value per channel; train with more samples at once",
        [CNNRT_E_STATE] =
            "the state block is NULL, not 64-byte aligned, or not one that this model's state_init filled",
        [CNNRT_E_NOT_FINITE] = "the loss or a parameter is not finite",
        [CNNRT_E_OPTIONS] = "the options do not fit each other, the model or the data",
        [CNNRT_E_FROZEN] = "the checkpoint is of a run with other weights in its frozen layers",
    };
    if (status < 0 || (size_t)status >= sizeof text / sizeof *text)
        return "unknown status";
    return text[status];
}
