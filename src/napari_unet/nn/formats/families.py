"""Families: what is known of trainers and packages whose files are recognised."""

from __future__ import annotations

from napari_unet.nn.formats import family_facts as facts
from napari_unet.nn.formats import segmentation_models
from napari_unet.nn.formats.family import UNKNOWN, Family, Hints, Tensors
from napari_unet.nn.formats.grid import unet_plus_plus
from napari_unet.nn.formats.monai_nets import attention_unet, vnet
from napari_unet.nn.formats.nested import monai_unet, pix2pix
from napari_unet.nn.formats.segresnet import segresnet

BEFORE = {"pool_place": "before_convolutions"}
PLAIN = {"padding": "same", "activation": "relu", "pooling": "max", **BEFORE}
AFTER = {**PLAIN, "order": "convolution_norm_activation", "up_activation": "no"}
NNUNET = {
    **BEFORE,
    "padding": "same",
    "pooling": "strided",
    "activation": "leaky_relu_0.01",
    "concatenation": "up_first",
    "order": "convolution_norm_activation",
    "up_activation": "no",
}

FAMILIES: tuple[Family, ...] = (
    Family(
        "torch-em UNet",
        (
            r"^encoder\.blocks\.0\.block\.\d",
            r"^base\.block",
            r"^decoder\.samplers\.0\.conv",
        ),
        {
            **PLAIN,
            "concatenation": "up_first",
            "upsampling": "linear",
            "up_activation": "no",
        },
        verified=True,
        more=facts.torch_em,
    ),
    Family(
        "giacomodeodato Brain-MRI-segmentation",
        (r"^layers\.0\.conv1\.weight", r"^layers\.0\.bn2\.", r"^layers\.\d+\.weight"),
        {**AFTER, "concatenation": "up_first"},
        verified=True,
        confirmed={"dimensions": ("2",), "norm": ("batch",)},
    ),
    Family(
        "milesial Pytorch-UNet",
        (r"^inc\.double_conv\.0", r"^down1\.maxpool_conv\.1", r"^outc\.conv\.weight"),
        {**AFTER, "concatenation": "skip_first"},
        more=facts.milesial,
    ),
    Family(
        "mateuszbuda brain-segmentation",
        (r"^encoder1\.enc1conv1", r"^decoder1\.dec1conv1", r"^upconv1\."),
        {**AFTER, "concatenation": "up_first"},
    ),
    Family(
        "jvanvugt pytorch-unet",
        (r"^down_path\.0\.block\.0\.weight", r"^up_path\.0\.conv_block\.", r"^last\."),
        {
            **BEFORE,
            "activation": "relu",
            "pooling": "max",
            "order": "convolution_activation_norm",
            "concatenation": "up_first",
            "upsampling": "linear",
            "up_activation": "no",
        },
    ),
    Family(
        "jaxony unet-pytorch",
        (r"^down_convs\.0\.conv1\.weight", r"^up_convs\.0\.upconv", r"^conv_final\."),
        {
            **BEFORE,
            "activation": "relu",
            "pooling": "max",
            "concatenation": "up_first",
        },
    ),
    Family(
        "LeeJunHyun U-Net",
        (r"^Conv1\.conv\.0\.weight", r"^Up2\.up\.1\.weight", r"^Up_conv2\.conv\.0\."),
        {
            **PLAIN,
            "order": "convolution_norm_activation",
            "concatenation": "skip_first",
            "upsampling": "nearest",
            "up_activation": "yes",
            "gates": "gating_first",
        },
    ),
    Family(
        "Lightning Bolts UNet",
        (
            r"^layers\.0\.net\.0\.weight",
            r"^layers\.\d+\.upsample\.",
            r"^layers\.\d+\.conv\.net\.0\.",
        ),
        {**AFTER, "concatenation": "skip_first", "upsampling": "linear_corners"},
    ),
    Family(
        "TernausNet",
        (r"^center\.block\.0\.conv\.weight", r"^dec5\.block\.1\.weight", r"^dec1\."),
        {**PLAIN, "concatenation": "up_first", "up_activation": "yes"},
    ),
    Family(
        "usuyama pytorch-unet",
        (r"^dconv_down1\.0\.weight", r"^dconv_up1\.0\.", r"^conv_last\.weight"),
        {**PLAIN, "concatenation": "up_first", "upsampling": "linear_corners"},
    ),
    Family(
        "pytorch-3dunet ResidualUNet",
        (r"^encoders\.0\.basic_module\.conv2\.conv", r"^decoders\.0\.basic_module\."),
        {
            **BEFORE,
            "padding": "same",
            "pooling": "max",
            "stretch": "yes",
            "up_activation": "no",
        },
        verified=True,
        confirmed={
            "norm": ("group_8",),
            "activation": ("relu", "elu"),
            "order": ("norm_convolution_activation",),
        },
        more=facts.pytorch_3dunet,
    ),
    Family(
        "pytorch-3dunet UNet",
        (r"^encoders\.0\.basic_module\.SingleConv1\.conv",),
        {
            **PLAIN,
            "concatenation": "skip_first",
            "upsampling": "nearest",
        },
        verified=True,
        confirmed={
            "norm": ("group_8", "batch"),
            "activation": ("relu", "leaky_relu_0.01"),
            "order": ("norm_convolution_activation",),
        },
        more=facts.pytorch_3dunet,
    ),
    Family(
        "nnU-Net v2 residual encoder",
        (r"^encoder\.stages\.0\.blocks\.0\.conv1", r"^decoder\.seg_layers\.0"),
        {**NNUNET, "shortcut": "pooled", "sum": "before_activation"},
        untracked="instance",
        verified=True,
        confirmed={"dimensions": ("2",), "norm": ("instance",)},
        more=facts.nnunet,
    ),
    Family(
        "nnU-Net v2",
        (r"^encoder\.stages\.0\.0\.convs\.0\.", r"^decoder\.seg_layers\.0"),
        NNUNET,
        untracked="instance",
        verified=True,
        confirmed={"norm": ("instance",)},
        more=facts.nnunet,
    ),
    Family(
        "nnU-Net v1",
        (r"^conv_blocks_context\.0\.blocks\.0\.conv", r"^seg_outputs\.0", r"^tu\.0"),
        NNUNET,
        untracked="instance",
        more=facts.nnunet,
    ),
    Family(
        "MONAI DynUNet",
        (r"^input_block\.conv1\.conv", r"^upsamples\.0\.transp_conv\.conv"),
        {**NNUNET, "sum": "before_activation"},
        untracked="instance",
        verified=True,
        confirmed={"norm": ("instance",)},
    ),
    Family(
        "MONAI BasicUNet",
        (r"^conv_0\.conv_0\.conv", r"^upcat_1\.convs\.conv_0\.conv"),
        {
            **BEFORE,
            "padding": "same",
            "pooling": "max",
            "activation": "leaky_relu_0.1",
            "concatenation": "skip_first",
            "order": "convolution_norm_activation",
            "up_activation": "no",
        },
        untracked="instance",
        verified=True,
        confirmed={"norm": ("instance", "batch")},
        more=facts.basic_unet,
    ),
    Family(
        "fastMRI U-Net",
        (
            r"^down_sample_layers\.0\.layers\.0\.weight",
            r"^up_transpose_conv\.0\.layers\.0\.weight",
        ),
        {
            **BEFORE,
            "padding": "same",
            "pooling": "average",
            "activation": "leaky_relu_0.2",
            "norm": "instance_hidden",
            "order": "convolution_norm_activation",
            "concatenation": "up_first",
            "up_activation": "yes",
        },
    ),
    Family(
        "MONAI UNet",
        (r"^model\.0\.conv\.(weight|unit0\.conv\.weight)", r"^model\.1\.submodule\."),
        {"concatenation": "skip_first", "pooling": "strided", "padding": "same"},
        verified=True,
        confirmed={"norm": ("instance_hidden",), "activation": ("prelu",)},
        more=facts.monai_unet,
        convert=monai_unet,
        open={
            "norm": ("instance_hidden", "none"),
            "activation": ("relu", "leaky_relu", "gelu", "silu", "elu"),
        },
    ),
    Family(
        "segmentation-models-pytorch Unet",
        (r"^decoder\.blocks\.0\.conv1\.0\.weight", r"^segmentation_head\.0\.weight"),
        {"padding": "same", "activation": "relu", "concatenation": "up_first"},
        verified=True,
        convert=segmentation_models.unet,
        open={"upsampling": ("nearest", "linear")},
    ),
    Family(
        "segmentation-models-pytorch UnetPlusPlus",
        (
            r"^decoder\.blocks\.x_0_0\.conv1\.0\.weight",
            r"^segmentation_head\.0\.weight",
        ),
        {"padding": "same", "activation": "relu", "concatenation": "up_first"},
        verified=True,
        convert=segmentation_models.unet_plus_plus,
        open={"upsampling": ("nearest", "linear")},
    ),
    Family(
        "segmentation-models-pytorch Linknet",
        (r"^decoder\.blocks\.0\.block\.0\.0\.weight", r"^segmentation_head\.0\."),
        {"padding": "same", "activation": "relu"},
        verified=True,
        convert=segmentation_models.linknet,
    ),
    Family(
        "MONAI AttentionUnet",
        (r"^model\.0\.conv\.0\.conv\.", r"^model\.1\.attention\.W_g\.0\.conv\."),
        {"padding": "same", "pooling": "strided", "activation": "relu"},
        verified=True,
        convert=attention_unet,
    ),
    Family(
        "MONAI VNet",
        (
            r"^in_tr\.conv_block\.conv\.",
            r"^down_tr32\.down_conv",
            r"^up_tr256\.",
        ),
        {"padding": "same", "pooling": "strided"},
        verified=True,
        more=facts.vnet,
        confirmed={"activation": ("elu", "prelu")},
        convert=vnet,
        open={"activation": ("elu", "relu", "leaky_relu", "silu", "gelu")},
    ),
    Family(
        "MONAI SegResNet",
        (
            r"^convInit\.conv\.weight",
            r"^down_layers\.0\.1\.conv1\.conv",
            r"^conv_final\.0",
        ),
        {"padding": "same", "pooling": "strided"},
        verified=True,
        confirmed={"norm": ("group_8",), "activation": ("relu",)},
        convert=segresnet,
        open={
            "norm": ("group_8", "group_4", "group_16", "instance"),
            "activation": ("relu", "leaky_relu", "elu", "silu", "gelu"),
        },
    ),
    Family(
        "MONAI BasicUNetPlusPlus",
        (r"^conv_0_0\.conv_0\.conv", r"^upcat_0_1\.convs\.conv_0\.conv"),
        {
            "padding": "same",
            "pooling": "max",
            "activation": "leaky_relu_0.1",
            "concatenation": "skip_first",
            "order": "convolution_norm_activation",
            "upsampling": "linear_corners",
        },
        verified=True,
        convert=unet_plus_plus,
    ),
    Family(
        "UNet++",
        (r"^[^\d.]*0_?0\.", r"^[^\d.]*0_?2\.", r"^[^\d.]*2_?0\."),
        {"padding": "same"},
        convert=unet_plus_plus,
        open={
            "upsampling": ("linear_corners", "linear", "nearest"),
            "activation": ("relu", "leaky_relu_0.01", "leaky_relu_0.2", "elu", "silu"),
            "pooling": ("max", "average"),
            "concatenation": ("skip_first", "up_first"),
            "order": (
                "convolution_norm_activation",
                "convolution_activation_norm",
            ),
        },
    ),
    Family(
        "pix2pix U-Net generator",
        (r"^model\.model\.0\.weight", r"^model\.model\.1\.model\.1\.weight"),
        {"concatenation": "skip_first", "pooling": "strided", "padding": "same"},
        convert=pix2pix,
    ),
)


def recognise(tensors: Tensors, hints: Hints) -> Family:
    """Return the first family that fits; `UNKNOWN` otherwise."""
    del hints
    return next((family for family in FAMILIES if family.fits(tensors)), UNKNOWN)
