"""Words that name faces, hair, clothes and what is asked of a portrait: kept in shipped vocabularies however rare.

Those of the avatars' captions and their synonyms, and those that people use for the same things. A word that the text
holds fewer than `min_count` times gets no vector all the same.
"""

_LISTED = """
person people human individual man woman boy girl child baby adult teenager gentleman lady male female face faces head
portrait picture photo photograph image looks looking seen note here who that this is has have wearing wears worn with
without and no not more less very a an the of in on we see how sight shows showing young younger youthful old older
elderly aged middle senior age ageing aging hair haired hairstyle hairstyles haircut bald balding baldness thinning
shaved shaven shaggy buzz cut short long medium side part parted parting quiff spiky spikes bowl pixie mohawk curl
curls curly curled wave waves wavy straight fringe bangs ponytail ponytails pigtail pigtails braid braids braided bun
buns puffs afro bob bobbed dreadlocks locks tied loose tousled messy neat receding wig black dark brown auburn red
ginger blonde blond golden platinum grey gray silver white blue teal green purple pink orange yellow violet brunette
redhead redhaired fair light dyed coloured colored colour color beard bearded beards moustache moustaches mustache
mustaches goatee stubble sideburns whiskers clean full thick bushy flowing chin unshaven glasses eyeglasses spectacles
sunglasses shades goggles monocle frame frames framed lens lenses tinted round square cat rimless hat hats cap caps
beanie beret bonnet fedora helmet hood hoodie turban bobble brimmed brim bucket baseball knit knitted woollen woolen
wool pompom wide sun headscarf scarf crown tiara headband earring earrings studs stud hoop hoops drop drops dangling
jewellery jewelry necklace piercing pendant smile smiles smiling smiled grin grins grinning laugh laughs laughing
laughter chuckling cheerful beaming happy happiness joyful joy sad sadness unhappy gloomy sorrow crying tears angry
anger cross furious rage surprised surprise astonished startled shocked wink winks winking smirk smirking slyly
roaring neutral serious calm afraid fear frown frowning bored tired disgust disgusted contempt expression expressions
emotion emotions emotional mood eye eyes eyed eyebrow eyebrows brow brows eyelid eyelids eyelash eyelashes iris pupil
gaze squinting hazel amber nose noses nostril nostrils mouth mouths lip lips lipstick tooth teeth tongue cheek cheeks
cheekbones jaw jaws forehead ear ears neck throat skin complexion tan tanned pale porcelain rosy beige olive caramel
deep freckle freckles freckled wrinkle wrinkles wrinkled dimple dimples scar scars mole tattoo tattoos makeup make up
cosmetics mascara eyeliner blush powder rouge foundation nail clothes clothing shirt t blouse sweater pullover jumper
cardigan jacket coat blazer suit tie bow dress gown collar crew v turtleneck neckline scoop vest uniform costume robe
cloak cape gloves plain striped stripes plaid checked dotted dots pattern patterned fabric cotton silk leather denim
mint navy coral cream charcoal sky sage peach lilac rose slate plum burgundy crimson turquoise maroon indigo gold
background hills window rays disc bokeh sunset slim thin fat chubby oval narrow big large small tiny heavy attractive
beautiful handsome pretty ugly masculine feminine asian african european caucasian tall shorter longer lighter darker
brighter wounded patient surgeon doctor nurse zombie vampire elf clown king queen princess prince soldier pirate
wizard witch painting sketch cartoon drawing sculpture statue mask masked
"""
FACE_WORDS = tuple(dict.fromkeys(_LISTED.split()))
