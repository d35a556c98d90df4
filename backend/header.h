/* What the files that write the generated header share. Private to backend/. */
#ifndef BACKEND_HEADER_H
#define BACKEND_HEADER_H

#include "backend/llvm.h"

/* What the text is made from. */
typedef struct Header {
    Context *cx;
    const LoopModule *m;
    const ObjectOptions *o;
    const Target *t;
    StrBuf *sb;
    const char *name, *upper;
    ArgNames args;
    bool external; /* weights come from outside */
    bool trains;
} Header;

/* Text for a comment. */
void put_comment(StrBuf *sb, const char *s);
/* f32[n,1,28,28] */
void put_shape(StrBuf *sb, const Type *t);
/* One argument of a function, after the first. */
void put_arg(Header *h, const ModBuf *b, const char *name, const char *qualifier);

/* header_training.c */
void put_training(Header *h);

#endif
