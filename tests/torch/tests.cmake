# Whole models and layers against PyTorch (Debian's python3-torch, python3-torchvision); ctest -L torch.
# Left out with sanitizers, whose runtime would have to be loaded into Python.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE AND EXISTS /usr/bin/python3)
  set(scripts
      "exporter"
      "layers 1"
      "layers 3"
      "layers 17"
      "activations"
      "sums"
      "models simplecnn"
      "models lenet5"
      "models resnet18"
      "models resnet50"
      "models resnet18 224"
      "models resnet50 224"
      "nets"
      "torchvision_names"
      "pixels"
      "schedules"
      "norms 7 17x5 3x7x5"
      "norms 9x13x7 3x5x4x7"
      "norms more"
      "convs 3x1 17x13 3x7x5 17x1x1"
      "convs 16x13x7"
      "convs 3x4x7x5 2x1x3x9"
      "convs 16x5x6x7"
      "losses"
      "labels"
      "frozen"
      "dropout"
      "gradients 1"
      "gradients 3"
      "gradients 17"
      "pools 1"
      "pools 2"
      "pools 3"
      "upsample 1"
      "upsample 2"
      "upsample 3"
      "upsample bits"
      "shapes slices joins views 7 17x5 3x7x5"
      "shapes slices joins views 17x5x6 3x1x4x5"
      "shapes lines 17x5 3x8"
      "shapes concats 3x7x5"
      "shapes concats 17x5x6"
      "shapes along parts 3x7x5"
      "shapes along parts 17x5x6"
      "shapes shuffles 3x7x5 17x5x6"
      "shapes bits slices joins views 20x31x33"
      "shapes bits concats along 20x15x18"
      "shapes bits parts shuffles 20x15x18"
      "blocks unet 4"
      "blocks densenet 4"
      "blocks excite 4"
      "blocks shufflenet 4"
      "blocks inception 4"
      "blocks mobilenet 4"
      "blocks torchvision shufflenet_v2_x0_5 squeezenet1_1 mobilenet_v2"
      "blocks torchvision mobilenet_v3_small densenet121"
      "blocks torchvision googlenet"
      "optimizers"
      "training simplecnn 8"
      "training lenet5 8"
      "training resnet 5"
      "training vgg11 3"
      "training alexnet 2"
      "training resnet18 2"
      "models alexnet")
  # by hand, as it takes 17 GB: training vgg11_bn; all nets on all CPUs: models.py --all
  foreach(net vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn resnet34 resnet101 resnet152)
    list(APPEND scripts "models ${net} 64")
  endforeach()
  foreach(script ${scripts})
    string(REPLACE " " "_" name ${script})
    string(REPLACE " " ";" words ${script})
    list(POP_FRONT words file)
    add_test(NAME torch_${name} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/torch/${file}.py ${words})
    set_tests_properties(torch_${name} PROPERTIES LABELS torch TIMEOUT 400
      ENVIRONMENT "CNNC=$<TARGET_FILE:cnnc>;CNNRT=$<TARGET_FILE:cnnrt>;CNNRT_TRAIN=$<TARGET_FILE:cnnrt-train>;OMP_NUM_THREADS=1;PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()
